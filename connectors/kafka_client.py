"""Where a Kafka is: its topics, with which client it is reached, and errors that name the brokers.

Topics and groups are seen to with kafka-python whichever client carries the records.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaAdminClient
from kafka.errors import KafkaError

from connectors.kafka_port import Client, ClientError, ClientOptions
from connectors.kafka_python import KafkaPython
from engine.facts import FactKind
from engine.ports import OutputKind, PortError
from engine.values import Millis

ADMIN_TIMEOUT_MS: Millis = 10_000

OUTPUT_TOPICS = {OutputKind.TRIGGER: "triggers", OutputKind.DEAD: "dead", OutputKind.LATE: "late"}


def client_of(bootstrap: Sequence[str], options: ClientOptions) -> Client:
    """What makes clients that carry records. Raises `PortError` where the library is not installed."""
    if options.library == "kafka-python":
        return KafkaPython(bootstrap, options)
    try:
        from connectors.kafka_librdkafka import Librdkafka  # noqa: PLC0415 - an extra, not always there
    except ImportError as error:
        raise PortError(
            "the setting kafka.client is librdkafka, and confluent-kafka is not installed: install the extra, "
            "salience[librdkafka], or set it to kafka-python"
        ) from error
    return Librdkafka(bootstrap, options)


@dataclass(frozen=True)
class KafkaAddress:
    """Where a Kafka is.

    Attributes:
        bootstrap: `host:port` of some brokers.
        prefix: Begins the name of every topic, so that installations can share a cluster.
        options: With what and how it is reached.
        client: What makes clients that carry records.

    Raises:
        PortError: The library of the options is not installed.
    """

    bootstrap: Sequence[str]
    prefix: str = "salience."
    options: ClientOptions = field(default_factory=ClientOptions)
    client: Client = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "client", client_of(self.bootstrap, self.options))

    @property
    def shown(self) -> str:
        """The brokers, for messages."""
        return ",".join(self.bootstrap)

    @property
    def events(self) -> str:
        """The topic of events."""
        return f"{self.prefix}events"

    @property
    def positions(self) -> str:
        """The compacted topic that says up to where each partition's outputs are out."""
        return f"{self.prefix}positions"

    def facts(self, kind: FactKind) -> str:
        """The compacted topic of facts of customers or things."""
        return self.prefix + kind

    def topic(self, kind: OutputKind) -> str:
        """The topic of a kind of output."""
        return self.prefix + OUTPUT_TOPICS[kind]

    def open(self, kind: Callable[..., Any], settings: Mapping[str, Any], **more: Any) -> Any:
        """Make a client of kafka-python."""
        return KafkaPython(self.bootstrap, self.options).open(kind, settings, **more)

    @contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Turn every failure of the client inside into a `PortError` that names the brokers."""
        try:
            yield
        except (ClientError, KafkaError, OSError, ValueError, AssertionError, RuntimeError) as error:
            raise self.failure(doing, error) from error

    def failure(self, doing: str, error: BaseException) -> PortError:
        """What a failure of the client means."""
        return PortError(f"Kafka at {self.shown}: {doing} failed: {str(error) or type(error).__name__}")

    def members(self, group: str) -> int:
        """How many members a group has."""
        with self.explained(f"asking for group {group}"), closing(self.admin()) as admin:
            return len(admin.describe_groups([group])[group].get("members") or ())

    def admin(self) -> Any:
        """A client for topics and groups."""
        return self.open(KafkaAdminClient, {})


class Countdown:
    """Calls back once, when a number of records are answered or one has failed. Safe from any thread."""

    __slots__ = ("_done", "_left", "_lock")

    def __init__(self, count: int, done: Any) -> None:
        self._left = count
        self._done = done
        self._lock = threading.Lock()

    def answer(self, error: PortError | None) -> None:
        """One record is durable, or has failed."""
        with self._lock:
            if self._left <= 0:
                return
            self._left = 0 if error else self._left - 1
            if self._left:
                return
        self._done(error)
