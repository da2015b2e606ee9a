"""Every port, made from the settings: embedded where no address is given, else the real servers.

The only place that reads settings for connectors. Ports are made when first asked for and shared within the process,
so make a `Wiring` after forking, not before; `event_source` makes a new member of the group at each call.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Protocol, Self, TypeVar, cast

from config.schema import KafkaSettings, Settings
from connectors.embedded import Embedded
from connectors.http_crm import HttpCrm
from connectors.kafka_port import ClientOptions, Security
from connectors.kafka_ports import KafkaPorts
from connectors.kafka_topics import KafkaTopics, TopicPlan
from connectors.redis_ports import RedisPorts
from engine.facts import FactKind, FactStore
from engine.identity import Identities
from engine.ports import (
    Activity,
    DecisionLog,
    DecisionState,
    DecisionWriter,
    EventLog,
    EventSource,
    LimitStore,
    OutputLog,
    PortError,
    StateStore,
    Tables,
)
from models.registry import ModelRegistry
from service.api.breaker import Breaker
from service.crm import CrmFacts
from service.publisher import Publisher
from service.signing import Signing

logger = logging.getLogger("salience.service.wiring")


class Closable(Protocol):
    """What a port can do at the end."""

    def close(self) -> None:
        """Let go."""


class Streams(Protocol):
    """Opens what is on Kafka where there is one."""

    def event_log(self) -> EventLog:
        """The writing end of the log."""

    def event_source(self, group: str) -> EventSource:
        """The reading end, as a member of a group."""

    def outputs(self) -> OutputLog:
        """Where outputs go."""


class Stores(Protocol):
    """Opens what is in Redis where there is one."""

    def state(self) -> StateStore:
        """Sessions, offsets, seen ids, outbox."""

    def limits(self) -> LimitStore:
        """Caps and budgets."""

    def profiles(self) -> FactStore:
        """Facts of customers."""

    def catalogue(self) -> FactStore:
        """Facts of things."""

    def identities(self) -> Identities:
        """Identities of customers."""

    def decisions(self) -> DecisionLog:
        """Decisions and exposures."""

    def decision_writer(self) -> DecisionWriter | None:
        """Writes decisions from an event loop; None where a thread has to."""

    def activity(self) -> Activity:
        """Counters by minute."""

    def tables(self) -> Tables:
        """Control tables."""

    def decision_state(self) -> DecisionState:
        """What the decision API reads and takes."""


Port = TypeVar("Port", bound=Closable)


class Wiring:
    """Makes and closes the ports of one process. Safe to ask from several threads."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        partitions = settings.kafka.partitions
        embedded = Embedded(settings.data_dir, partitions, settings.kafka.events_retention_ms or None)
        self._kafka = (
            KafkaPorts(
                settings.kafka.bootstrap,
                partitions=partitions,
                prefix=settings.kafka.topic_prefix,
                options=_client_options(settings.kafka),
                plan=TopicPlan(
                    settings.kafka.replicas,
                    settings.kafka.min_insync_replicas,
                    settings.kafka.events_retention_ms,
                    settings.kafka.outputs_retention_ms,
                ),
            )
            if settings.kafka.bootstrap
            else None
        )
        self._redis = (
            RedisPorts(
                settings.redis.url,
                partitions=partitions,
                password=settings.redis.password.reveal() or None,
                timeout_ms=settings.redis.timeout_ms,
            )
            if settings.redis.url
            else None
        )
        self._streams: Streams = self._kafka or embedded
        self._stores: Stores = self._redis or embedded
        self._made: dict[str, object] = {}
        self._closing = ExitStack()
        self._lock = threading.RLock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def has_kafka(self) -> bool:
        """Whether events and outputs are on Kafka."""
        return self._kafka is not None

    @property
    def has_redis(self) -> bool:
        """Whether state, limits, profiles and tables are in Redis."""
        return self._redis is not None

    # -------------------------------------------------------------- events and outputs

    def event_log(self) -> EventLog:
        """The writing end of the event log."""
        return self._once("event_log", self._streams.event_log)

    def event_source(self, group: str | None = None) -> EventSource:
        """A new member of the group of workers."""
        return self._own(self._streams.event_source(group or self.settings.kafka.group))

    def outputs(self) -> OutputLog:
        """Where triggers, dead letters and late events go."""
        return self._once("outputs", self._streams.outputs)

    def fact_source(self, kind: FactKind) -> EventSource | None:
        """A new member of the group that brings facts from their topic into the store; embedded, there is none."""
        if self._kafka is None:
            return None
        return self._own(self._kafka.fact_source(kind, f"{self.settings.kafka.group}-{kind}"))

    def fact_log(self, kind: FactKind) -> EventLog | None:
        """The writing end of a topic of facts; embedded, there is none: they are written to the store."""
        kafka = self._kafka
        return None if kafka is None else self._once(f"fact_log {kind}", lambda: kafka.fact_log(kind))

    def facts(self, kind: FactKind) -> FactStore:
        """Where facts of a kind are."""
        return self.profiles() if kind is FactKind.PROFILES else self.catalogue()

    # -------------------------------------------------------------- state

    def state(self) -> StateStore:
        """Sessions, offsets, seen ids, outbox."""
        return self._once("state", self._stores.state)

    def limits(self) -> LimitStore:
        """Caps and budgets."""
        return self._once("limits", self._stores.limits)

    def profiles(self) -> FactStore:
        """Facts of customers."""
        return self._once("profiles", self._stores.profiles)

    def enriched_profiles(self) -> FactStore:
        """Facts of customers, with what the CRM says where the settings name one."""
        crm = self.settings.crm
        if not crm.url:
            return self.profiles()

        def make() -> CrmFacts:
            circuit = Breaker("the CRM", time.monotonic)
            asked = HttpCrm(crm.url, circuit, token=crm.token.reveal(), deadline_ms=crm.deadline_ms)
            return CrmFacts(self.profiles(), asked, age_ms=crm.max_age_ms)

        return self._once("enriched_profiles", make)

    def catalogue(self) -> FactStore:
        """Facts of things."""
        return self._once("catalogue", self._stores.catalogue)

    def identities(self) -> Identities:
        """Identities of customers, for the stream."""
        return self._once("identities", self._stores.identities)

    def decisions(self) -> DecisionLog:
        """Decisions and exposures."""
        return self._once("decisions", self._stores.decisions)

    def decision_writer(self) -> DecisionWriter | None:
        """Writes decisions from an event loop, whose user awaits its `close`; None where a thread has to."""
        return self._stores.decision_writer()

    def activity(self) -> Activity:
        """Counters by minute."""
        return self._once("activity", self._stores.activity)

    def tables(self) -> Tables:
        """Control tables."""
        return self._once("tables", self._stores.tables)

    def decision_state(self) -> DecisionState:
        """What the decision API reads and takes. Asynchronous: its user awaits its `close`."""
        return self._stores.decision_state()

    # -------------------------------------------------------------- what has to be there

    def ensure_topics(self) -> None:
        """Make the topics that are missing; embedded, nothing. Raises `PortError` where Kafka does not answer.

        What is there and otherwise than the settings say is named in the log: see `salience topics check`.
        """
        topics = self.topics()
        if topics is not None:
            for fault in topics.ensure():
                logger.warning("%s", fault)

    def topics(self) -> KafkaTopics | None:
        """What makes and checks topics; None where the log is embedded."""
        return None if self._kafka is None else self._kafka.topics()

    def check_partitions(self) -> None:
        """Raise `PortError` where the log has another number of partitions than the settings say.

        The others find a session's partition by the settings alone, so that they work while the log is down.
        """
        found, said = self.event_log().partitions, self.settings.kafka.partitions
        if found != said:
            raise PortError(
                f"the event log has {found} partitions and the setting kafka.partitions says {said}: set it to {found}"
            )

    # -------------------------------------------------------------- on top of them

    def registry(self) -> ModelRegistry:
        """Versions of models."""
        return ModelRegistry(self.settings.models.registry)

    def publisher(self) -> Publisher:
        """The one path of publishing."""
        return Publisher(self.tables(), self.registry(), self.signing())

    def signing(self) -> Signing:
        """The keys that sign and vouch for revisions."""
        return Signing(self.settings.data_dir, self.settings.bundle.trusted_keys, shared=self.has_redis)

    def close(self) -> None:
        """Close all that was made, the last first. A port that can't be closed in order is named in the log."""
        with self._lock:
            self._made.clear()
            self._closing.close()

    def _once(self, name: str, make: Callable[[], Port]) -> Port:
        with self._lock:
            if name not in self._made:
                self._made[name] = self._own(make())
            return cast("Port", self._made[name])

    def _own(self, port: Port) -> Port:
        with self._lock:
            self._closing.callback(_close, port)
        return port


def _client_options(kafka: KafkaSettings) -> ClientOptions:
    return ClientOptions(
        kafka.client,
        Security(
            kafka.security,
            ca=kafka.ssl_ca,
            certificate=kafka.ssl_certificate,
            key=kafka.ssl_key,
            key_password=kafka.ssl_key_password.reveal(),
            check_hostname=kafka.ssl_check_hostname,
            mechanism=kafka.sasl_mechanism,
            username=kafka.sasl_username,
            password=kafka.sasl_password.reveal(),
        ),
        kafka.compression,
    )


def _close(port: Closable) -> None:
    try:
        port.close()
    except PortError as error:
        logger.warning("could not close in order: %s", error)
