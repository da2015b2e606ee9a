"""confluent-kafka, which is librdkafka for Python: the client for high volume, an extra.

What is done about it here:

1. A fatal error, as of being fenced, is raised by whatever serves callbacks. `flush` serves on with the exception set, so
   that a delivery report ends in a `SystemError` and others are lost: `poll` is used instead, `_settle`.
2. `Producer.close` undoes the transaction and flushes. One that is to end at once is purged and let go of.
3. A commit can answer well though records have failed, when nobody looks: every delivery report is looked at.
4. `consume` waits until it has all that it may take: it is called without waiting, after `poll` brought a first record.
5. Asking for offsets is not tried again after a broker's restart, though all that is missing is to learn of its new epoch.
6. `seek` is refused where nothing is fetched, as after an offset that was not there, or just after an assignment: then the
   partition is assigned anew.
7. A position does not pass control records: how far a partition was read is told by its end-of-partition events, each
   compared with the end that the broker named before.
8. The group's generation is in the group's metadata only, whose form is the library's own: `_generation`.
9. It writes to stderr: what it logs goes to the logger `librdkafka`, which is to be kept at CRITICAL.
"""

from __future__ import annotations

import logging
import struct
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import confluent_kafka as rd
from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, TopicPartition

from connectors.kafka_port import (
    ClientError,
    ClientOptions,
    FencedProducerError,
    Held,
    Message,
    NewMessage,
    OutOfRangeError,
    Security,
    TooLargeError,
    UnknownTopicError,
)
from engine.ports import Record
from engine.values import Millis

logger = logging.getLogger("salience.connectors.kafka_librdkafka")

COMMON: Mapping[str, Any] = {
    "socket.timeout.ms": 10_000,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
    "retry.backoff.ms": 20,
    "topic.metadata.refresh.fast.interval.ms": 100,
    "allow.auto.create.topics": False,
}

PRODUCER: Mapping[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 5,
    "batch.size": 128 * 1024,
    "delivery.timeout.ms": 10_000,
    "queue.buffering.max.messages": 0,  # the log that uses it has bounds of its own
}

TRANSACTOR: Mapping[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 1,
    "delivery.timeout.ms": 6_000,
    "transaction.timeout.ms": 15_000,
}

READER: Mapping[str, Any] = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "auto.offset.reset": "error",  # an offset that is not there is an error, never a silent jump
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 20,  # a second by default: as long a full queue would stand still
    "fetch.error.backoff.ms": 50,
    "max.partition.fetch.bytes": 2 * 1024 * 1024,
    "queued.max.messages.kbytes": 16 * 1024,
}

MEMBER: Mapping[str, Any] = {
    **READER,
    "partition.assignment.strategy": "cooperative-sticky",
    "max.poll.interval.ms": 60_000,
}

ASK_S = 10.0
"""The longest wait for offsets."""

CALL_S = 12.0
"""The longest wait of a transaction's call; it stays below the watchdog's limit."""

FENCED = frozenset({KafkaError._FENCED, KafkaError.PRODUCER_FENCED, KafkaError.INVALID_PRODUCER_EPOCH})  # noqa: SLF001 - its names of its own errors begin so


MOVED = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
"""What a partition's former leader answers, and its new one while it takes over."""


class Librdkafka:
    """`Client` with librdkafka."""

    def __init__(self, bootstrap: Sequence[str], options: ClientOptions) -> None:
        self._reach_s = options.reach_ms / 1000
        self._common = {
            "bootstrap.servers": ",".join(bootstrap),
            "error_cb": _note,
            "logger": logging.getLogger("librdkafka"),
            **COMMON,
            **_security(options.security),
        }
        self._compression = {"compression.type": options.compression}

    def producer(self) -> RdProducer:
        """A producer without transactions."""
        producer = self._made(rd.Producer, {**PRODUCER, **self._compression})
        return RdProducer(producer, self._reach_s)

    def transactor(self, transactional_id: str) -> RdTransactor:
        """A producer of a transactional id."""
        settings = {**TRANSACTOR, **self._compression, "transactional.id": transactional_id}
        return RdTransactor(self._made(rd.Producer, settings))

    def reader(self) -> RdReader:
        """A consumer that joins no group; the library asks for the name of one."""
        return RdReader(self._made(rd.Consumer, {**READER, "group.id": "none", "enable.partition.eof": True}))

    def member(self, group: str, topic: str, held: Held, session_ms: Millis) -> RdMember:
        """A consumer of a group."""
        times = {"session.timeout.ms": session_ms, "heartbeat.interval.ms": session_ms // 5}
        return RdMember(
            self._made(rd.Consumer, {**MEMBER, **times, "group.id": group, "on_commit": _log_failure}), topic, held
        )

    def _made(self, kind: Callable[..., Any], settings: Mapping[str, Any]) -> Any:
        """Make a client; raise where no broker is reached, which the library itself would go on trying for ever."""
        with _translated():
            made = kind({**self._common, **settings})
            try:
                made.cluster_id(self._reach_s)
            except BaseException:
                if isinstance(made, rd.Consumer):
                    made.close()
                raise
        return made


def _security(security: Security) -> Mapping[str, Any]:
    given: dict[str, Any] = {"security.protocol": security.protocol}
    if security.protocol.endswith("ssl"):
        files = {
            "ssl.ca.location": security.ca,
            "ssl.certificate.location": security.certificate,
            "ssl.key.location": security.key,
            "ssl.key.password": security.key_password,
        }
        given |= {name: str(value) for name, value in files.items() if value}
        given["ssl.endpoint.identification.algorithm"] = "https" if security.check_hostname else "none"
    if security.protocol.startswith("sasl"):
        given |= {
            "sasl.mechanism": security.mechanism,
            "sasl.username": security.username,
            "sasl.password": security.password,
        }
    return given


class RdProducer:
    """`Producer`. A thread of its own serves the delivery reports."""

    def __init__(self, producer: Any, reach_s: float) -> None:
        self._producer = producer
        self._reach_s = reach_s
        self._fatal: Exception | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="kafka delivery reports", daemon=True)
        self._thread.start()

    def partitions(self, topic: str) -> int:
        """Ask for the topic's."""
        with _translated():
            found = self._producer.list_topics(topic, timeout=self._reach_s).topics[topic]
        if found.error is not None or not found.partitions:
            raise UnknownTopicError(str(found.error))
        return len(found.partitions)

    def send(
        self,
        topic: str,
        records: Sequence[tuple[int, bytes, bytes]],
        done: Callable[[BaseException | None], None],
    ) -> None:
        """Hand the records to the client."""

        def answered(error: KafkaError | None, _: object) -> None:
            done(None if error is None else ClientError(error.str()))

        produce = self._producer.produce
        with _translated():
            if self._fatal is not None:
                raise self._fatal
            for partition, key, value in records:
                produce(topic, value, key, partition, answered)

    def close(self, timeout_s: float) -> None:
        """Wait for what was taken, purge the rest, and let go of it all."""
        deadline = time.monotonic() + timeout_s
        while len(self._producer) and self._fatal is None and time.monotonic() < deadline:
            time.sleep(0.005)
        with _translated():
            self._producer.purge()
        self._closing.set()
        self._thread.join()
        self._producer = None

    def _serve(self) -> None:
        producer = self._producer
        while not self._closing.is_set() or len(producer):
            try:
                producer.poll(0.1)
            except (KafkaException, SystemError) as error:
                self._fatal = self._fatal or error


class RdTransactor:
    """`Transactor`."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def init(self) -> None:
        """Take the transactional id."""
        with _translated():
            self._producer.init_transactions(CALL_S)

    def begin(self) -> None:
        """Begin."""
        with _translated():
            self._producer.begin_transaction()

    def write(self, messages: Sequence[NewMessage], timeout_s: float) -> None:
        """Write, and look at the report of each record."""
        errors: list[KafkaError] = []

        def answered(error: KafkaError | None, _: object) -> None:
            if error is not None:
                errors.append(error)

        with _translated():
            for each in messages:
                self._producer.produce(
                    each.topic, each.value, each.key, each.partition, answered, headers=list(each.headers)
                )
            if not _settle(self._producer, timeout_s):
                raise ClientError(f"{len(self._producer)} of {len(messages)} records were not answered in time")
            if errors:
                raise KafkaException(errors[0])

    def commit(self) -> None:
        """Commit."""
        with _translated():
            self._producer.commit_transaction(CALL_S)

    def close(self) -> None:
        """Forget what waits; the library ends its threads and connections when nobody has the producer."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with suppress(KafkaException):
                producer.purge(blocking=False)


class _RdOffsets:
    """`Offsets`."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def firsts(self, topic: str, partitions: Collection[int]) -> Mapping[int, int]:
        """Ask for the beginnings."""
        return self._offsets(topic, partitions, OFFSET_BEGINNING)

    def ends(self, topic: str, partitions: Collection[int]) -> Mapping[int, int]:
        """Ask for the ends, which are those of what is committed, by the consumer's isolation."""
        return self._offsets(topic, partitions, OFFSET_END)

    def _offsets(self, topic: str, partitions: Collection[int], which: int) -> Mapping[int, int]:
        deadline = time.monotonic() + ASK_S
        asked = [TopicPartition(topic, number, which) for number in partitions]
        with _translated():
            while True:
                try:
                    answered = self._consumer.offsets_for_times(asked, timeout=ASK_S)
                    error = next((each.error for each in answered if each.error is not None), None)
                except KafkaException as raised:
                    error = raised.args[0]
                if error is None:
                    return {each.partition: each.offset for each in answered}
                if error.code() not in MOVED or time.monotonic() > deadline:
                    raise KafkaException(error)
                self._consumer.list_topics(topic, timeout=ASK_S)  # who leads, and in which epoch
                time.sleep(0.05)


class RdReader(_RdOffsets):
    """`Reader`."""

    def read(
        self, topic: str, starts: Mapping[int, int], ends: Mapping[int, int], timeout_s: float
    ) -> Sequence[Message]:
        """Assign, and follow the ends of partitions."""
        found: list[Message] = []
        at = dict(starts)
        deadline = time.monotonic() + timeout_s
        with _translated():
            self._consumer.assign([TopicPartition(topic, number, start) for number, start in starts.items()])
            while any(at[number] < end for number, end in ends.items()):
                if time.monotonic() > deadline:
                    raise ClientError(f"{topic} was not read within {timeout_s:.0f} s")
                for each in _taken(self._consumer, 10_000, 0.2):
                    error, number, offset = each.error(), each.partition(), each.offset()
                    if error is None:
                        at[number] = max(at[number], offset + 1)
                        time_ms = each.timestamp()[1]
                        found.append(Message(number, offset, each.key(), each.value(), each.headers() or (), time_ms))
                    elif error.code() == KafkaError._PARTITION_EOF:  # noqa: SLF001 - as above
                        at[number] = max(at[number], offset)
                    else:
                        raise KafkaException(error)
            self._consumer.unassign()
        return found

    def close(self) -> None:
        """Close the consumer."""
        with _translated():
            self._consumer.close()


class RdMember(_RdOffsets):
    """`Member`. Callbacks run in `poll` and `close`, on the caller's thread."""

    def __init__(self, consumer: Any, topic: str, held: Held) -> None:
        super().__init__(consumer)
        self._topic = topic
        self._tell = held
        self._held: set[int] = set()
        self._paused: set[int] = set()
        self._error: Exception | None = None
        with _translated():
            try:
                consumer.subscribe([topic], on_assign=self._assigned, on_revoke=self._gone, on_lost=self._gone)
            except BaseException:
                consumer.close()
                raise

    def poll(self, limit: int, timeout_ms: Millis) -> Mapping[int, Sequence[Record]]:
        """Fetch."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error
        found: dict[int, list[Record]] = {}
        with _translated():
            for each in _taken(self._consumer, limit, timeout_ms / 1000):
                failed = each.error()
                if failed is None:
                    record = _record(each)
                    found.setdefault(record.partition, []).append(record)
                else:
                    self._error = self._failure(failed, each)
        if self._error is not None and not found:
            error, self._error = self._error, None
            raise error
        return found

    def standing(self) -> tuple[int, Collection[int]] | None:
        """Look at the group.

        The generation is the new one as soon as the group was joined, the partitions are those of before until their
        new ones are given in `poll`. Those are ours, too: in a cooperative rebalance nobody else gets them in that
        generation, and who was put out of the group can't join before having been told that they are lost.
        """
        with _translated():
            return _generation(self._consumer.consumer_group_metadata()), frozenset(self._held)

    def seek(self, partition: int, offset: int) -> None:
        """Seek, or assign anew."""
        where = TopicPartition(self._topic, partition, offset or OFFSET_BEGINNING)
        with _translated():
            try:
                self._consumer.seek(where)
            except KafkaException:
                self._consumer.incremental_unassign([where])
                self._consumer.incremental_assign([where])
                if partition in self._paused:
                    self._consumer.pause([where])

    def pause(self, partitions: Collection[int]) -> None:
        """Pause."""
        self._paused |= set(partitions)
        with _translated():
            self._consumer.pause(self._of(partitions))

    def resume(self, partitions: Collection[int]) -> None:
        """Resume."""
        self._paused -= set(partitions)
        with _translated():
            self._consumer.resume(self._of(partitions))

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit."""
        committed = [TopicPartition(self._topic, number, offset) for number, offset in offsets.items()]
        with _translated():
            self._consumer.commit(offsets=committed, asynchronous=True)

    def close(self) -> None:
        """Leave."""
        with _translated():
            self._consumer.close()

    def _assigned(self, consumer: Any, added: Iterable[TopicPartition]) -> None:
        self._held |= {tp.partition for tp in added}
        starts = self._tell(self._held)
        given = [TopicPartition(self._topic, number, start or OFFSET_BEGINNING) for number, start in starts.items()]
        consumer.incremental_assign(given)
        consumer.pause(given)
        self._paused |= starts.keys()

    def _gone(self, consumer: Any, removed: list[TopicPartition]) -> None:
        numbers = {tp.partition for tp in removed}
        self._held -= numbers
        self._paused -= numbers
        self._tell(self._held)
        consumer.incremental_unassign(removed)

    def _failure(self, error: KafkaError, message: Any) -> Exception:
        if error.code() == KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 - as above
            return OutOfRangeError(error.str(), {message.partition(): message.offset()})
        return ClientError(error.str())

    def _of(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, number) for number in partitions]


class _translated:  # noqa: N801 - a context manager, used like a function
    """Turns the library's exceptions into those of the port."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, SystemError) and isinstance(error.__cause__, KafkaException):
            error = error.__cause__
        if isinstance(error, KafkaException):
            why = error.args[0]
            message = why.str()
            if why.code() in FENCED:
                raise FencedProducerError(message) from error
            if why.code() == KafkaError.MSG_SIZE_TOO_LARGE:
                raise TooLargeError(message) from error
            raise ClientError(message) from error
        if isinstance(error, BufferError):
            raise ClientError(str(error)) from error


def _settle(producer: Any, timeout_s: float) -> bool:
    """Serve delivery reports until all have come; whether it was in time."""
    deadline = time.monotonic() + timeout_s
    while len(producer):
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        producer.poll(min(left, 0.5))
    return True


def _taken(consumer: Any, limit: int, timeout_s: float) -> list[Any]:
    """What is there, once the first has come."""
    first = consumer.poll(timeout_s)
    if first is None:
        return []
    return [first, *consumer.consume(limit - 1, 0)] if limit > 1 else [first]


def _generation(metadata: Any) -> int:
    """The generation within a group's metadata: `CGMDv2:`, then 32 bits in the machine's order, then names."""
    magic, (generation,) = metadata[:7], struct.unpack_from("=i", metadata, 7)
    if magic != b"CGMDv2:":
        raise ClientError(f"this release of confluent-kafka, {rd.version()}, has another form of a group's metadata")
    return int(generation)


def _record(message: Any) -> Record:
    # Others may write to the topic, too: a key or value that is missing, or is no text, is for the worker to judge.
    key = message.key()
    text = "" if key is None else key.decode(errors="replace")
    return Record(message.partition(), message.offset(), text, message.value() or b"", message.timestamp()[1])


def _log_failure(error: KafkaError | None, _: object) -> None:
    if error is not None:
        logger.info("offsets for displays of lag were not committed: %s", error.str())


def _note(error: KafkaError) -> None:
    """A broker that can't be reached is tried again; what a call makes of it is its own error."""
    logger.debug("%s", error.str())
