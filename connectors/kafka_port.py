"""What is needed of a client of Kafka: few primitives, over which the log, its source and the outputs are written once.

Two libraries implement it: `connectors.kafka_python` and `connectors.kafka_librdkafka`. Topics, groups and the marks of
transactions are seen to with kafka-python in both cases (`connectors.kafka_client`, `connectors.kafka_marks`): no volume is
there, and librdkafka can't do the last.

A failed call raises an exception of the library, or one of those below where the caller must tell them apart;
`KafkaAddress.explained` makes a `PortError` of either.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

import msgspec

from engine.ports import Record
from engine.values import EpochMs, Millis

ClientName = Literal["kafka-python", "librdkafka"]
Compression = Literal["none", "gzip", "snappy", "lz4", "zstd"]

Protection = Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"]
"""Kafka's names of its protocols; `ssl` is TLS."""

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]


class ClientError(Exception):
    """A call failed; the message is the library's."""


class FencedProducerError(ClientError):
    """Another producer has taken the transactional id: this one can do nothing more."""


class TooLargeError(ClientError):
    """A record is larger than may be sent; the producer is as good as before."""


class UnknownTopicError(ClientError):
    """The topic is not there, or no broker leads it."""


class OutOfRangeError(ClientError):
    """Partitions don't have, or no longer have, the offsets that they were to be read at: `offsets`, by partition."""

    def __init__(self, message: str, offsets: Mapping[int, int]) -> None:
        super().__init__(message)
        self.offsets = offsets


@dataclass(frozen=True)
class Security:
    """How brokers and clients know one another.

    Attributes:
        protocol: With or without TLS and SASL.
        ca: File of the certificates that brokers' ones are checked with, PEM; None: those of the system.
        certificate: File of the client's own certificate, PEM; None: none is shown.
        key: File of its key, PEM.
        key_password: Of that file.
        check_hostname: Whether a broker's certificate must be one for its host.
        mechanism: Of SASL.
        username: For SASL.
        password: For SASL.
    """

    protocol: Protection = "plaintext"
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str = field(default="", repr=False)
    check_hostname: bool = True
    mechanism: Mechanism = "SCRAM-SHA-512"
    username: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class ClientOptions:
    """What every client is made with.

    Attributes:
        library: Which one carries the records.
        security: TLS and SASL.
        compression: Of what is written; every codec can be read.
        reach_ms: How long is tried to reach a broker at first.
    """

    library: ClientName = "kafka-python"
    security: Security = field(default_factory=Security)
    compression: Compression = "lz4"
    reach_ms: Millis = 5_000


class NewMessage(msgspec.Struct, frozen=True, gc=False):
    """A record to be written in a transaction."""

    topic: str
    partition: int
    key: bytes
    value: bytes
    headers: Sequence[tuple[str, bytes]] = ()


class Message(msgspec.Struct, frozen=True, gc=False):
    """A record that was read, as it is. `time` is when it was appended."""

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    time: EpochMs


class Producer(Protocol):
    """Writes records without transactions: idempotent, acknowledged by all, batched, compressed.

    For one thread at a time. Good until a record fails: then it is closed, and another one is made.
    """

    def partitions(self, topic: str) -> int:
        """How many the topic has. Raises `UnknownTopicError`."""

    def send(
        self,
        topic: str,
        records: Sequence[tuple[int, bytes, bytes]],
        done: Callable[[BaseException | None], None],
    ) -> None:
        """Take records, each with partition, key and value; don't wait. An empty value is written as none.

        `done` is called once for each, from any thread, when it is durable or has failed. Where a call raises, it is not
        called for the records that were not taken: `TooLargeError` where nothing else is wrong.
        """

    def close(self, timeout_s: float) -> None:
        """Wait so long for what was taken, fail the rest, and end. 0: at once."""


class Transactor(Protocol):
    """Writes in transactions of one transactional id, good until anything fails. For one thread at a time."""

    def init(self) -> None:
        """Fence every earlier producer of the id; undo what it left open, or wait until it is done."""

    def begin(self) -> None:
        """Begin a transaction."""

    def write(self, messages: Sequence[NewMessage], timeout_s: float) -> None:
        """Write all of these; raise where not every single one is known to be there in time.

        A commit can't be relied on for that: it can answer well though records have failed.
        """

    def commit(self) -> None:
        """Make all visible."""

    def close(self) -> None:
        """End at once, with no word to the brokers; a transaction that is open is undone by the next `init`."""


class Offsets(Protocol):
    """Asks the brokers for offsets."""

    def firsts(self, topic: str, partitions: Collection[int]) -> Mapping[int, int]:
        """The offset at which each partition begins."""

    def ends(self, topic: str, partitions: Collection[int], timeout_ms: Millis = 10_000) -> Mapping[int, int]:
        """The offset below which everything committed can be read, of each."""


class Reader(Offsets, Protocol):
    """Reads stretches of topics, committed records only, in no group. For one thread at a time."""

    def read(
        self, topic: str, starts: Mapping[int, int], ends: Mapping[int, int], timeout_s: float
    ) -> Sequence[Message]:
        """All records of each partition from its start to its end, and perhaps some behind; raises where not in time.

        Control records and undone ones take offsets, too: a partition is done when its position has reached the end.
        """

    def close(self) -> None:
        """Let go."""


Held = Callable[[Collection[int]], Mapping[int, int]]
"""Told the partitions that a member holds, whenever they change; answers at which offset each new one begins, 0 meaning
the beginning. A new one is paused at first, until `resume`. May be called from a thread of the client, in `Member.poll`
or beside it: it must not call the member."""


class Member(Offsets, Protocol):
    """A member of a consumer group, assigned cooperatively: what it keeps in a rebalance is read on meanwhile.

    For one thread at a time. Reads committed records only, and never starts where the group stands.
    """

    def poll(self, limit: int, timeout_ms: Millis) -> Mapping[int, Sequence[Record]]:
        """Take part in the group, and fetch: as soon as there is one record, at most `limit`.

        Raises `OutOfRangeError` for a partition that is to be read where it has nothing; it then stands still until `seek`.
        """

    def standing(self) -> tuple[int, Collection[int]] | None:
        """The group's generation and the partitions held in it; -1 outside the group, None amid a rebalance."""

    def seek(self, partition: int, offset: int) -> None:
        """Read a held partition from there; 0 means from its beginning."""

    def pause(self, partitions: Collection[int]) -> None:
        """Deliver nothing of these held ones."""

    def resume(self, partitions: Collection[int]) -> None:
        """Deliver again."""

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell the group, without waiting; a failure is only logged."""

    def close(self) -> None:
        """Leave the group."""


class Client(Protocol):
    """A client library."""

    def producer(self) -> Producer:
        """Connect, and make one."""

    def transactor(self, transactional_id: str) -> Transactor:
        """Connect, and make one."""

    def reader(self) -> Reader:
        """Connect, and make one."""

    def member(self, group: str, topic: str, held: Held, session_ms: Millis) -> Member:
        """Connect, and make one that is put out of the group when nothing was heard of it for `session_ms`."""
