"""Every port that Kafka implements. Each port's module says how records look."""

from __future__ import annotations

from collections.abc import Sequence

from connectors.kafka_client import KafkaAddress
from connectors.kafka_events import KafkaEventLog
from connectors.kafka_outputs import KafkaOutputs
from connectors.kafka_port import ClientOptions
from connectors.kafka_source import KafkaEventSource
from connectors.kafka_topics import KafkaTopics, TopicPlan
from engine.facts import FactKind


class KafkaPorts:
    """Opens ports on one cluster; each call opens anew, and its caller closes it.

    Opening does not connect: a Kafka that is down is noticed, as a `PortError`, by the first call.

    Args:
        bootstrap: `host:port` of some brokers.
        partitions: How many the topic of events has.
        prefix: Begins the name of every topic.
        options: With what and how it is reached.
        plan: What topics that are made shall be like.

    Raises:
        PortError: The client of the options is not installed.
    """

    def __init__(
        self,
        bootstrap: Sequence[str],
        *,
        partitions: int,
        prefix: str = "salience.",
        options: ClientOptions | None = None,
        plan: TopicPlan | None = None,
    ) -> None:
        self._address = KafkaAddress(tuple(bootstrap), prefix, options or ClientOptions())
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

    def fact_source(self, kind: FactKind, group: str) -> KafkaEventSource:
        """The reading end of a topic of facts, as a member of a group."""
        return KafkaEventSource(self._address, self._partitions, group, self._address.facts(kind))

    def fact_log(self, kind: FactKind) -> KafkaEventLog:
        """The writing end of a topic of facts; an empty value says that somebody or something is no more."""
        return KafkaEventLog(self._address, self._partitions, topic=self._address.facts(kind))

    def outputs(self) -> KafkaOutputs:
        """Triggers, dead letters, late events."""
        return KafkaOutputs(self._address, self._partitions)
