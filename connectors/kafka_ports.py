"""Every port that Kafka implements. Each port's module says how records look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from connectors.kafka_client import KafkaAddress
from connectors.kafka_events import KafkaEventLog
from connectors.kafka_outputs import KafkaOutputs
from connectors.kafka_source import KafkaEventSource
from connectors.kafka_topics import KafkaTopics, TopicPlan


class KafkaPorts:
    """Opens ports on one cluster; each call opens anew, and its caller closes it.

    Opening does not connect: a Kafka that is down is noticed, as a `PortError`, by the first call.

    Args:
        bootstrap: `host:port` of some brokers.
        partitions: How many the topic of events has.
        prefix: Begins the name of every topic.
        options: More settings for every client, such as `security_protocol` and `sasl_plain_password`.
        plan: What topics that are made shall be like.
    """

    def __init__(
        self,
        bootstrap: Sequence[str],
        *,
        partitions: int,
        prefix: str = "salience.",
        options: Mapping[str, Any] | None = None,
        plan: TopicPlan | None = None,
    ) -> None:
        self._address = KafkaAddress(tuple(bootstrap), prefix, dict(options or {}))
        self._partitions = partitions
        self._plan = plan or TopicPlan()

    def topics(self) -> KafkaTopics:
        """Makes and checks the topics."""
        return KafkaTopics(self._address, self._partitions, self._plan)

    def event_log(self) -> KafkaEventLog:
        """The writing end of the log."""
        return KafkaEventLog(self._address, self._partitions)

    def event_source(self, group: str = "salience-worker") -> KafkaEventSource:
        """The reading end of the log, as a member of a group."""
        return KafkaEventSource(self._address, self._partitions, group)

    def outputs(self) -> KafkaOutputs:
        """Triggers, dead letters, late events."""
        return KafkaOutputs(self._address, self._partitions)
