"""How Kafka is reached: settings with a limit on every wait, one repaired client class, errors that name the brokers.

kafka-python is pinned. What it does wrong when brokers die, and is repaired here and where it is used:

1. A request of the sender is dropped for good when its broker is down, since `await_ready` raises where the sender expects
   False: `RepairedClient`.
2. A flush that returns does not mean that the records were taken: every future is looked at (`kafka_events`, `kafka_outputs`).
3. After a failed send the producer's state is not to be trusted: it is made anew.
4. A consumer that met its coordinator during start-up may never join: it is made anew (`kafka_source`).
5. Callbacks of a rebalance run on the client's thread: they only note and seek.
6. All codecs are installed, or one foreign batch would stop the consumer.
7. A client that can't be made, since no broker is there, leaves sockets and a thread: `KafkaAddress.open` closes them.
8. `KafkaProducer.close(timeout=0)` flushes first, and where that fails goes on with its thread: `close_at_once`.
9. A partition that is paused while some of its fetched records wait may never be read again: `kafka_source._unpark`.
10. An attempt to connect that fails, or that runs while its client is closed, leaves its socket: `ClosingSocket`.

It also logs each attempt to reconnect as an error: keep its logger `kafka` at CRITICAL, our own messages say what matters.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, WeakSet

from kafka import KafkaAdminClient
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket

from engine.ports import OutputKind, PortError
from engine.values import Millis

COMMON: Mapping[str, Any] = {
    "bootstrap_timeout_ms": 5_000,
    "request_timeout_ms": 5_000,
    # With the default of 100 each retry of a fresh connection costs that much.
    "retry_backoff_ms": 10,
    "reconnect_backoff_ms": 50,
    "reconnect_backoff_max_ms": 1_000,
    "proxy_url": "direct://",  # ClosingSocket
}

ADMIN_TIMEOUT_MS: Millis = 30_000

OUTPUT_TOPICS = {OutputKind.TRIGGER: "triggers", OutputKind.DEAD: "dead", OutputKind.LATE: "late"}


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


@dataclass(frozen=True)
class KafkaAddress:
    """Where a Kafka is.

    Attributes:
        bootstrap: `host:port` of some brokers.
        prefix: Begins the name of every topic, so that installations can share a cluster.
        options: More settings for every client, such as `security_protocol` and `sasl_plain_password`.
    """

    bootstrap: Sequence[str]
    prefix: str = "salience."
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)

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

    def topic(self, kind: OutputKind) -> str:
        """The topic of a kind of output."""
        return self.prefix + OUTPUT_TOPICS[kind]

    def open(self, kind: Callable[..., Any], settings: Mapping[str, Any], **more: Any) -> Any:
        """Make a client of the library; one that can't be made leaves nothing behind."""
        networks: list[RepairedClient] = []

        def network(**given: Any) -> RepairedClient:
            networks.append(RepairedClient(**given))
            return networks[-1]

        try:
            common = {"bootstrap_servers": list(self.bootstrap), **COMMON, **self.options}
            return kind(**common, **settings, **more, kafka_client=network)
        except BaseException:
            for each in networks:  # the library would leave sockets and a thread
                with suppress(KafkaError, OSError, RuntimeError):
                    each.close()
            raise

    @contextmanager
    def explained(self, doing: str) -> Iterator[None]:
        """Turn every failure of the client inside into a `PortError` that names the brokers."""
        try:
            yield
        except (KafkaError, OSError, ValueError, AssertionError, RuntimeError) as error:
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


def close_at_once(producer: Any) -> None:
    """End a producer without sending what waits, and without waiting; its thread fails the rest and ends."""
    producer.flush = lambda timeout=None: None
    producer.close(timeout=0)


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
