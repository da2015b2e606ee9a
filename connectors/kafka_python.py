"""kafka-python, the default client, with the repairs that it needs.

It is pinned. What it does wrong when brokers die, and is repaired here and where it is used:

1. A request of the sender is dropped for good when its broker is down, since `await_ready` raises where the sender expects
   False: `RepairedClient`.
2. A flush that returns does not mean that the records were taken: every future is looked at.
3. After a failed send the producer's state is not to be trusted: it is made anew (`kafka_events`, `kafka_outputs`).
4. A consumer that met its coordinator during start-up may never join: it is made anew (`kafka_source`).
5. Callbacks of a rebalance run on the client's thread: they only note and seek.
6. All codecs are installed, or one foreign batch would stop the consumer.
7. A client that can't be made, since no broker is there, leaves sockets and a thread: `KafkaPython.open` closes them.
8. `KafkaProducer.close(timeout=0)` flushes first, and where that fails goes on with its thread: `close_at_once`.
9. A partition that is paused while some of its fetched records wait may never be read again: `_unpark`.
10. An attempt to connect that fails, or that runs while its client is closed, leaves its socket: `ClosingSocket`, `ClosingTlsSocket`.

It also logs each attempt to reconnect as an error: keep its logger `kafka` at CRITICAL, our own messages say what matters.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, WeakSet

from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    InvalidProducerEpochError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OffsetOutOfRangeError,
    ProducerFencedError,
)
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket
from kafka.structs import MemberState

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

logger = logging.getLogger("salience.connectors.kafka_python")

COMMON: Mapping[str, Any] = {
    "request_timeout_ms": 5_000,
    # With the default of 100 each retry of a fresh connection costs that much.
    "retry_backoff_ms": 10,
    "reconnect_backoff_ms": 50,
    "reconnect_backoff_max_ms": 1_000,
    "proxy_url": "direct://",  # ClosingSocket
}

PRODUCER: Mapping[str, Any] = {
    "metrics_enabled": False,
    "enable_idempotence": True,
    "acks": "all",
    "linger_ms": 5,
    "batch_size": 128 * 1024,
    "max_in_flight_requests_per_connection": 5,
    "delivery_timeout_ms": 10_000,
    "max_block_ms": 5_000,
    "allow_auto_create_topics": False,
}

TRANSACTOR: Mapping[str, Any] = {
    "metrics_enabled": False,
    "enable_idempotence": True,
    "acks": "all",
    "linger_ms": 0,
    "delivery_timeout_ms": 6_000,
    "max_block_ms": 10_000,
    "transaction_timeout_ms": 15_000,
    "allow_auto_create_topics": False,
}

READER: Mapping[str, Any] = {
    "metrics_enabled": False,
    "isolation_level": "read_committed",
    "enable_auto_commit": False,
    "allow_auto_create_topics": False,
}

MEMBER: Mapping[str, Any] = {
    **READER,
    "auto_offset_reset": "none",  # an offset that is not there is an error, never a silent jump
    "partition_assignment_strategy": (CooperativeStickyAssignor,),
    "max_poll_interval_ms": 60_000,
    "fetch_max_wait_ms": 100,
    "max_partition_fetch_bytes": 2 * 1024 * 1024,
}

ASK_MS: Millis = 10_000
"""The longest wait for offsets and for closing."""


class ClosingSocket(KafkaNetSocket):  # type: ignore[misc]  # the library ships no types
    """Connects without a proxy. The library asks for it by the scheme of `proxy_url`, as for a proxy of one's own."""

    SCHEMES = ("direct",)
    MADE: ClassVar[WeakKeyDictionary[Any, WeakSet[socket.socket]]] = WeakKeyDictionary()
    """The sockets of each event loop: what a client leaves open is closed with it."""

    async def connect(
        self, net: Any, addrinfo: Any, socket_options: Sequence[Any] = (), timeout_at: float | None = None
    ) -> Any:
        """Connect, and close the socket where that fails."""
        family, kind, protocol, _, address = addrinfo
        sock = self.socket(family, kind, protocol)
        self.MADE.setdefault(net, WeakSet()).add(sock)
        try:
            sock.setblocking(False)
            for option in socket_options:
                sock.setsockopt(*option)
            return await self.sock_connect(net, sock, address, timeout_at=timeout_at)
        except BaseException:
            sock.close()
            raise


class ClosingTlsSocket(ssl.SSLSocket):
    """Closes when it is let go of: it takes the place of a `ClosingSocket`'s, and is left where a handshake fails."""

    def __del__(self) -> None:
        """Close."""
        self.close()


class RepairedClient(KafkaNetClient):  # type: ignore[misc]  # the library ships no types
    """Answers False for a broker that can't be reached, as the sender expects, so that its request is tried again."""

    def await_ready(self, node_id: int, timeout_ms: Millis = 30_000) -> bool:
        """Wait until the broker can take a request."""
        try:
            return bool(super().await_ready(node_id, timeout_ms=timeout_ms))
        except KafkaError:
            time.sleep(0.02)  # else the sender asks again without end and without pause
            return False

    def close(self, node_id: int | None = None) -> None:
        """Close the connection to a broker, or the client with everything that it opened."""
        super().close(node_id=node_id)
        if node_id is None:
            for sock in ClosingSocket.MADE.pop(self._net, ()):
                sock.close()


class KafkaPython:
    """`Client` with kafka-python."""

    def __init__(self, bootstrap: Sequence[str], options: ClientOptions) -> None:
        self._bootstrap = bootstrap
        self._options = options

    def producer(self) -> PythonProducer:
        """A producer without transactions."""
        return PythonProducer(self.open(KafkaProducer, PRODUCER, compression_type=self._compression))

    def transactor(self, transactional_id: str) -> PythonTransactor:
        """A producer of a transactional id."""
        more = {"transactional_id": transactional_id, "compression_type": self._compression}
        return PythonTransactor(self.open(KafkaProducer, TRANSACTOR, **more))

    def reader(self) -> PythonReader:
        """A consumer without a group."""
        return PythonReader(self.open(KafkaConsumer, READER))

    def member(self, group: str, topic: str, held: Held, session_ms: Millis) -> PythonMember:
        """A consumer of a group."""
        more = {"group_id": group, "session_timeout_ms": session_ms, "heartbeat_interval_ms": session_ms // 5}
        return PythonMember(self.open(KafkaConsumer, MEMBER, **more), topic, held)

    def open(self, kind: Callable[..., Any], settings: Mapping[str, Any], **more: Any) -> Any:
        """Make a client of the library; one that can't be made leaves nothing behind."""
        networks: list[RepairedClient] = []

        def network(**given: Any) -> RepairedClient:
            networks.append(RepairedClient(**given))
            return networks[-1]

        try:
            return kind(**self._common(), **settings, **more, kafka_client=network)
        except BaseException:
            for each in networks:  # the library would leave sockets and a thread
                with suppress(KafkaError, OSError, RuntimeError):
                    each.close()
            raise

    @property
    def _compression(self) -> str | None:
        return None if self._options.compression == "none" else self._options.compression

    def _common(self) -> Mapping[str, Any]:
        return {
            "bootstrap_servers": list(self._bootstrap),
            "bootstrap_timeout_ms": self._options.reach_ms,
            **COMMON,
            **_security(self._options.security),
        }


def _security(security: Security) -> Mapping[str, Any]:
    given: dict[str, Any] = {"security_protocol": security.protocol.upper()}
    if security.protocol.endswith("ssl"):
        given["ssl_context"] = _tls(security)
    if security.protocol.startswith("sasl"):
        given |= {
            "sasl_mechanism": security.mechanism,
            "sasl_plain_username": security.username,
            "sasl_plain_password": security.password,
        }
    return given


def _tls(security: Security) -> ssl.SSLContext:
    for file in (security.ca, security.certificate, security.key):
        if file is not None:
            file.stat()  # whose error names the file, as those below don't
    context = ssl.create_default_context(cafile=security.ca)
    context.check_hostname = security.check_hostname
    if security.certificate is not None:
        context.load_cert_chain(security.certificate, security.key, security.key_password or None)
    context.sslsocket_class = ClosingTlsSocket
    return context


def close_at_once(producer: Any) -> None:
    """End a producer without sending what waits, and without waiting; its thread fails the rest and ends."""
    producer.flush = lambda timeout=None: None
    producer.close(timeout=0)


class PythonProducer:
    """`Producer`."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def partitions(self, topic: str) -> int:
        """Ask for the topic's."""
        try:
            return len(self._producer.partitions_for(topic))
        except KafkaTimeoutError as error:
            raise UnknownTopicError(str(error)) from error

    def send(
        self,
        topic: str,
        records: Sequence[tuple[int, bytes, bytes]],
        done: Callable[[BaseException | None], None],
    ) -> None:
        """Hand the records to the client."""

        def written(_: object) -> None:
            done(None)

        send = self._producer.send
        for partition, key, value in records:
            try:
                future = send(topic, key=key, value=value, partition=partition)
            except MessageSizeTooLargeError as error:
                raise TooLargeError(str(error)) from error
            future.add_callback(written)
            future.add_errback(done)

    def close(self, timeout_s: float) -> None:
        """Flush for so long."""
        try:
            self._producer.close(timeout=timeout_s)
        except KafkaTimeoutError:
            close_at_once(self._producer)


class PythonTransactor:
    """`Transactor`."""

    def __init__(self, producer: Any) -> None:
        self._producer = producer

    def init(self) -> None:
        """Take the transactional id."""
        with _fencing():
            self._producer.init_transactions()

    def begin(self) -> None:
        """Begin."""
        with _fencing():
            self._producer.begin_transaction()

    def write(self, messages: Sequence[NewMessage], timeout_s: float) -> None:
        """Write, and look at the answer for each record."""
        deadline = time.monotonic() + timeout_s
        with _fencing():
            futures = [
                self._producer.send(
                    each.topic, key=each.key, value=each.value, partition=each.partition, headers=list(each.headers)
                )
                for each in messages
            ]
            for future in futures:
                future.get(timeout=max(0.001, deadline - time.monotonic()))

    def commit(self) -> None:
        """Commit."""
        with _fencing():
            self._producer.commit_transaction()

    def close(self) -> None:
        """End at once."""
        close_at_once(self._producer)


class _fencing:  # noqa: N801 - a context manager, used like a function
    """Tells apart what says that another has taken the transactional id."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, (ProducerFencedError, InvalidProducerEpochError)):
            raise FencedProducerError(str(error)) from error


class _PythonOffsets:
    """`Offsets`."""

    def __init__(self, consumer: Any) -> None:
        self._consumer = consumer

    def firsts(self, topic: str, partitions: Collection[int]) -> Mapping[int, int]:
        """Ask for the beginnings."""
        return _numbers(self._consumer.beginning_offsets(_of(topic, partitions), timeout_ms=ASK_MS))

    def ends(self, topic: str, partitions: Collection[int]) -> Mapping[int, int]:
        """Ask for the ends of what is committed."""
        return _numbers(self._consumer.end_offsets(_of(topic, partitions), timeout_ms=ASK_MS))


class PythonReader(_PythonOffsets):
    """`Reader`."""

    def read(
        self, topic: str, starts: Mapping[int, int], ends: Mapping[int, int], timeout_s: float
    ) -> Sequence[Message]:
        """Assign, seek, poll."""
        consumer = self._consumer
        consumer.assign(_of(topic, starts))
        for number, start in starts.items():
            consumer.seek(TopicPartition(topic, number), start)
        found: list[Message] = []
        deadline = time.monotonic() + timeout_s
        while any(
            consumer.position(TopicPartition(topic, number), timeout_ms=ASK_MS) < end for number, end in ends.items()
        ):
            if time.monotonic() > deadline:
                raise ClientError(f"{topic} was not read within {timeout_s:.0f} s")
            for polled in consumer.poll(timeout_ms=200, max_records=10_000).values():
                found += [
                    Message(each.partition, each.offset, each.key, each.value, each.headers, each.timestamp)
                    for each in polled
                ]
        return found

    def close(self) -> None:
        """Close the consumer."""
        self._consumer.close()


class PythonMember(_PythonOffsets):
    """`Member`."""

    def __init__(self, consumer: Any, topic: str, held: Held) -> None:
        super().__init__(consumer)
        self._topic = topic
        try:
            consumer.subscribe([topic], listener=_Listener(consumer, held))
        except BaseException:
            consumer.close(autocommit=False, timeout_ms=0)
            raise

    def poll(self, limit: int, timeout_ms: Millis) -> Mapping[int, Sequence[Record]]:
        """Fetch."""
        _unpark(self._consumer)
        try:
            polled = self._consumer.poll(timeout_ms=timeout_ms, max_records=limit)
        except OffsetOutOfRangeError as error:
            offsets: Mapping[Any, Any] = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
            at: dict[int, int] = {tp.partition: getattr(offset, "offset", offset) for tp, offset in offsets.items()}
            raise OutOfRangeError(str(error), at) from error
        return {tp.partition: [_record(each) for each in records] for tp, records in polled.items()}

    def standing(self) -> tuple[int, Collection[int]] | None:
        """Look at the group."""
        group = self._consumer.group_metadata()
        if group.state == MemberState.STABLE:
            return group.generation_id, _partitions(self._consumer.assignment())
        return (-1, ()) if group.generation_id < 0 else None

    def seek(self, partition: int, offset: int) -> None:
        """Seek."""
        _seek(self._consumer, TopicPartition(self._topic, partition), offset)

    def pause(self, partitions: Collection[int]) -> None:
        """Pause."""
        self._consumer.pause(*_of(self._topic, partitions))

    def resume(self, partitions: Collection[int]) -> None:
        """Resume."""
        self._consumer.resume(*_of(self._topic, partitions))

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Commit, hearing of the outcome in a later poll."""
        committed = {
            TopicPartition(self._topic, number): OffsetAndMetadata(offset, "", -1) for number, offset in offsets.items()
        }
        self._consumer.commit_async(committed, callback=_log_failure)

    def close(self) -> None:
        """Leave."""
        self._consumer.close(autocommit=False, timeout_ms=ASK_MS)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the library ships no types
    """Tells what is held, and seeks and pauses; runs on the client's thread, in the midst of a rebalance."""

    def __init__(self, consumer: Any, held: Held) -> None:
        self._consumer = consumer
        self._held = held

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        self._tell()  # what is given with the same assignment is held already

    def on_partitions_lost(self, lost: Collection[Any]) -> None:
        self._held(_partitions(set(self._consumer.assignment()) - set(lost)))

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        self._tell()

    def _tell(self) -> None:
        held = self._consumer.assignment()
        starts = self._held(_partitions(held))
        for tp in held:
            if tp.partition in starts:
                _seek(self._consumer, tp, starts[tp.partition])
                self._consumer.pause(tp)


def _unpark(consumer: Any) -> None:
    """Let the client give back what it put aside for paused partitions.

    It does so only while no other partition's records are being handed out, and takes those that are used up for some;
    what it has put aside it does not fetch again, so that the partition would stand still for good.
    """
    fetcher = consumer._fetcher  # noqa: SLF001 - nothing public reaches it; the client is pinned
    if fetcher._paused_partition_records and not fetcher._next_partition_records:  # noqa: SLF001 - as above
        fetcher._next_partition_records = None  # noqa: SLF001 - as above


def _seek(consumer: Any, tp: TopicPartition, offset: int) -> None:
    if offset:
        consumer.seek(tp, offset)
    else:
        consumer.seek_to_beginning(tp)


def _record(record: Any) -> Record:
    # Others may write to the topic, too: a key or value that is missing, or is no text, is for the worker to judge.
    key = "" if record.key is None else bytes(record.key).decode(errors="replace")
    return Record(record.partition, record.offset, key, record.value or b"", record.timestamp)


def _of(topic: str, partitions: Iterable[int]) -> list[Any]:
    return [TopicPartition(topic, number) for number in partitions]


def _partitions(tps: Iterable[Any]) -> set[int]:
    return {tp.partition for tp in tps}


def _numbers(offsets: Mapping[Any, int]) -> Mapping[int, int]:
    return {tp.partition: offset for tp, offset in offsets.items()}


def _log_failure(offsets: object, response: object) -> None:
    if isinstance(response, KafkaError):
        logger.info("offsets for displays of lag were not committed: %s", response)
