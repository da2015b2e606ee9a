"""The implementations under test: each opens its ports anew on the same storage, in any process."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from connectors.embedded import Embedded
from connectors.kafka_port import ClientName, ClientOptions
from connectors.kafka_ports import KafkaPorts
from connectors.redis_ports import RedisPorts
from engine.facts import FactStore
from engine.identity import Identities
from engine.ports import (
    Activity,
    DecisionLog,
    DecisionState,
    EventLog,
    EventSource,
    LimitStore,
    OutputLog,
    StateStore,
    Tables,
)


class Stores(Protocol):
    """What holds state; each call opens a port of its own."""

    def state(self) -> StateStore: ...
    def limits(self) -> LimitStore: ...
    def profiles(self) -> FactStore: ...
    def catalogue(self) -> FactStore: ...
    def identities(self) -> Identities: ...
    def decisions(self) -> DecisionLog: ...
    def activity(self) -> Activity: ...
    def tables(self) -> Tables: ...
    def decision_state(self) -> DecisionState: ...


PARTITIONS = 4

REDIS = ("redis", "redis-cluster")

LIBRARIES: tuple[ClientName, ...] = ("kafka-python", "librdkafka")
"""The clients of Kafka."""


def open_stores(backend: str, address: str) -> Stores:
    """The stores of a backend: `address` is a folder or a URL."""
    if backend in REDIS:
        return RedisPorts(address, partitions=PARTITIONS, timeout_ms=10_000)  # two busy cores, so a generous limit
    return Embedded(Path(address), partitions=PARTITIONS)


class Streams(Protocol):
    """What carries events and outputs; each call opens a port of its own."""

    def event_log(self) -> EventLog: ...
    def event_source(self, group: str = "worker") -> EventSource: ...
    def outputs(self) -> OutputLog: ...


class _InOneCluster:
    """Ports on a Kafka that other tests use, too: its groups have names of their own."""

    def __init__(self, ports: KafkaPorts, prefix: str) -> None:
        self._prefix = prefix
        self.topics = ports.topics
        self.event_log = ports.event_log
        self.outputs = ports.outputs
        self._ports = ports

    def event_source(self, group: str = "worker") -> EventSource:
        return self._ports.event_source(self._prefix + group)


def open_streams(backend: str, address: str) -> Streams:
    """The streams of a backend: `address` is a folder, or the addresses of brokers and a prefix of topics."""
    for library in LIBRARIES:
        if backend == library:
            bootstrap, prefix = address.split("/")
            options = ClientOptions(library)
            ports = KafkaPorts(bootstrap.split(","), prefix=prefix, partitions=PARTITIONS, options=options)
            return _InOneCluster(ports, prefix)
    return Embedded(Path(address), partitions=PARTITIONS)
