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
11. A leader of a group that assigns before it knows the partitions of the topic gives nobody any, and may leave it at that:
    `WatchfulAssignor`.

It also logs each attempt to reconnect as an error: keep its logger `kafka` at CRITICAL, our own messages say what matters.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar
from weakref import WeakKeyDictionary, WeakSet

from kafka import KafkaConsumer, KafkaProducer
from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient
from kafka.net.inet import KafkaNetSocket

from connectors.kafka_port import ClientOptions, Held, Security
from connectors.kafka_python_reading import PythonMember, PythonReader, WatchfulAssignor
from connectors.kafka_python_writing import PythonProducer, PythonTransactor
from engine.values import Millis

COMMON: dict[str, Any] = {
    "request_timeout_ms": 5_000,
    # With the default of 100 each retry of a fresh connection costs that much.
    "retry_backoff_ms": 10,
    "reconnect_backoff_ms": 50,
    "reconnect_backoff_max_ms": 1_000,
    "proxy_url": "direct://",  # ClosingSocket
}

PRODUCER: dict[str, Any] = {
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

TRANSACTOR: dict[str, Any] = {
    "metrics_enabled": False,
    "enable_idempotence": True,
    "acks": "all",
    "linger_ms": 0,
    "delivery_timeout_ms": 6_000,
    "max_block_ms": 10_000,
    "transaction_timeout_ms": 15_000,
    "allow_auto_create_topics": False,
}

READER: dict[str, Any] = {
    "metrics_enabled": False,
    "isolation_level": "read_committed",
    "enable_auto_commit": False,
    "allow_auto_create_topics": False,
}

MEMBER: dict[str, Any] = {
    **READER,
    "auto_offset_reset": "none",  # an offset that is not there is an error, never a silent jump
    "max_poll_interval_ms": 60_000,
    "fetch_max_wait_ms": 100,
    # The client hands out one partition's bytes before another's: some thousand events, a fraction of a second.
    "max_partition_fetch_bytes": 256 * 1024,
}


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
        assignor = WatchfulAssignor()
        more = {
            "group_id": group,
            "session_timeout_ms": session_ms,
            "heartbeat_interval_ms": session_ms // 5,
            "partition_assignment_strategy": (assignor,),
        }
        return PythonMember(self.open(KafkaConsumer, MEMBER, **more), topic, held, assignor)

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
