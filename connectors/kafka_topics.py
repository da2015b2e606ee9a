"""The topics of an installation: what they shall be like, what is missing, what is otherwise.

| topic | partitions | cleaned up by | why |
|---|---|---|---|
| `events` | as set | age | state can be built anew as far back as it reaches |
| `triggers`, `dead`, `late` | as `events` | age | their readers decide how long they need them |
| `positions` | as `events` | key | the last record of each partition must stay, however old |

What is missing is made. What is there is never altered: shrinking a retention deletes data, and the number of partitions can't be
changed without moving sessions. `check` names it with a command that would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import msgspec
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import TopicAlreadyExistsError

from connectors.kafka_client import ADMIN_TIMEOUT_MS, KafkaAddress
from engine.facts import FactKind
from engine.ports import OutputKind, PortError
from engine.values import Millis

WEEK_MS: Millis = 7 * 86_400_000
FOR_EVER = 0
"""As a retention."""

AT_LEAST = frozenset({"min.insync.replicas"})
"""More of these is safer, and no mistake."""


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """What topics shall be like.

    Attributes:
        replicas: Copies of each partition.
        min_insync: Copies that have a record before it counts as written.
        events_retention_ms: How long events are kept; 0: for ever.
        outputs_retention_ms: How long triggers, dead letters and late events are kept; 0: for ever.
    """

    replicas: int = 1
    min_insync: int = 1
    events_retention_ms: Millis = WEEK_MS
    outputs_retention_ms: Millis = WEEK_MS


class TopicFault(msgspec.Struct, frozen=True):
    """Something about a topic that is not as it shall be.

    Attributes:
        topic: Its whole name.
        setting: `topic` where it is missing, else `partitions`, `replicas`, or the topic's own setting as Kafka names it.
        found: What is there; empty for a topic that is missing.
        remedy: What to do.
    """

    topic: str
    setting: str
    found: str
    wanted: str
    remedy: str

    def __str__(self) -> str:
        if self.setting == "topic":
            return f"{self.topic} is missing: {self.remedy}"
        return f"{self.topic}: {self.setting} is {self.found}, wanted is {self.wanted}: {self.remedy}"


class KafkaTopics:
    """Makes and checks the topics of one installation."""

    def __init__(self, address: KafkaAddress, partitions: int, plan: TopicPlan) -> None:
        self._address = address
        self._partitions = partitions
        self._plan = plan

    def wanted(self) -> Mapping[str, Mapping[str, str]]:
        """The settings of each topic, by its whole name."""
        plan, address = self._plan, self._address
        kept = {address.events: plan.events_retention_ms}
        kept |= {address.topic(kind): plan.outputs_retention_ms for kind in OutputKind}
        by_age = {name: _by_age(retention) for name, retention in kept.items()}
        common = {"min.insync.replicas": str(plan.min_insync), "unclean.leader.election.enable": "false"}
        by_key = {name: {"cleanup.policy": "compact"} for name in (address.positions, *map(address.facts, FactKind))}
        return {name: common | own for name, own in (by_age | by_key).items()}

    def create(self) -> Sequence[str]:
        """Make what is missing and wait until it can be used; the names of what was made."""
        wanted, made = self.wanted(), []
        with self._address.explained("making the topics"), closing(self._address.admin()) as admin:
            existing = self._described(admin)
            for name, settings in wanted.items():
                if name in existing:
                    continue
                topic = {
                    "num_partitions": self._partitions,
                    "replication_factor": self._plan.replicas,
                    "configs": dict(settings),
                }
                try:
                    admin.create_topics({name: topic}, timeout_ms=ADMIN_TIMEOUT_MS)
                except TopicAlreadyExistsError:
                    continue  # another process was faster
                made.append(name)
            admin.wait_for_topics(list(wanted), timeout_ms=ADMIN_TIMEOUT_MS)
        return made

    def check(self) -> Sequence[TopicFault]:
        """All that is missing or otherwise; changes nothing."""
        faults: list[TopicFault] = []
        with self._address.explained("looking at the topics"), closing(self._address.admin()) as admin:
            existing = self._described(admin)
            asked = [ConfigResource(ConfigResourceType.TOPIC, name) for name in existing]
            configs = admin.describe_configs(asked, config_filter="all").get("topic", {}) if asked else {}
        for name, settings in self.wanted().items():
            if name not in existing:
                faults.append(TopicFault(name, "topic", "", "there", "make it with `salience topics create`"))
                continue
            faults += self._misplaced(name, existing[name])
            found = {key: config["value"] for key, config in configs.get(name, {}).items()}
            faults += [
                TopicFault(name, key, found[key], value, self._command(name, key, value))
                for key, value in settings.items()
                if key in found and not _fits(key, found[key], value)
            ]
        return faults

    def ensure(self) -> Sequence[TopicFault]:
        """Make what is missing; what is otherwise. Raises `PortError` for a number of partitions that loses sessions."""
        self.create()
        faults = self.check()
        for fault in faults:
            if fault.setting == "partitions":
                raise PortError(f"Kafka at {self._address.shown}: {fault}")
        return faults

    def _described(self, admin: Any) -> Mapping[str, Sequence[Any]]:
        """The partitions of each topic that is there."""
        described = admin.describe_topics(list(self.wanted()))
        return {each["name"]: each["partitions"] for each in described if each.get("partitions")}

    def _misplaced(self, name: str, partitions: Sequence[Any]) -> list[TopicFault]:
        faults = []
        if len(partitions) != self._partitions:
            remedy = (
                "the number can't be changed without moving sessions: set kafka.partitions to "
                f"{len(partitions)}, or take another kafka.topic_prefix and begin anew"
            )
            faults.append(TopicFault(name, "partitions", str(len(partitions)), str(self._partitions), remedy))
        fewest = min(len(partition["replica_nodes"]) for partition in partitions)
        if fewest < self._plan.replicas:
            remedy = "add copies with kafka-reassign-partitions.sh, or set kafka.replicas to what is there"
            faults.append(TopicFault(name, "replicas", str(fewest), str(self._plan.replicas), remedy))
        return faults

    def _command(self, name: str, key: str, value: str) -> str:
        return (
            f"kafka-configs.sh --bootstrap-server {self._address.bootstrap[0]} --alter --entity-type topics "
            f"--entity-name {name} --add-config {key}={value}"
        )


def _by_age(retention: Millis) -> dict[str, str]:
    """Records leave by age alone: a limit in bytes would take them earlier than anybody was told."""
    kept = -1 if retention == FOR_EVER else retention
    return {"cleanup.policy": "delete", "retention.ms": str(kept), "retention.bytes": "-1"}


def _fits(key: str, found: str, wanted: str) -> bool:
    return int(found) >= int(wanted) if key in AT_LEAST else found == wanted
