"""confluent-kafka, which is librdkafka for Python: the client for high volume, an extra.

What is done about it here:

1. A fatal error, as of being fenced, is raised by whatever serves callbacks. `flush` serves on with the exception set, so
   that a delivery report ends in a `SystemError` and others are lost: `poll` is used instead, `_settle`.
2. `Producer.close` undoes the transaction and flushes. One that is to end at once is purged and let go of.
3. A commit can answer well though records have failed, when nobody looks: every delivery report is looked at.
4. `consume` waits until it has all that it may take: it is called without waiting, after `poll` brought a first record.
5. Asking for offsets is not tried again when a broker has restarted or gone, though all that is missing is to learn who leads.
6. `seek` is refused where nothing is fetched, as after an offset that was not there, or just after an assignment: then the
   partition is assigned anew.
7. A position does not pass control records: how far a partition was read is told by its end-of-partition events, each
   compared with the end that the broker named before.
8. The group's generation is in the group's metadata only, whose form is the library's own: `_generation`.
9. It writes to stderr: what it logs goes to the logger `librdkafka`, of which nothing is shown (`service.logs`): being fenced,
   which is in order, is critical to it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import confluent_kafka as rd
from confluent_kafka import KafkaError

from connectors.kafka_librdkafka_errors import translated
from connectors.kafka_librdkafka_reading import RdMember, RdReader
from connectors.kafka_librdkafka_writing import RdProducer, RdTransactor
from connectors.kafka_port import ClientOptions, Held, Security
from engine.values import Millis

logger = logging.getLogger("salience.connectors.kafka_librdkafka")

COMMON: dict[str, Any] = {
    "socket.timeout.ms": 10_000,
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 1_000,
    "retry.backoff.ms": 20,
    "topic.metadata.refresh.fast.interval.ms": 100,
    "allow.auto.create.topics": False,
    "log_level": 0,  # a client that is not polled for long would keep all lines
}

PRODUCER: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 5,
    "batch.size": 128 * 1024,
    "delivery.timeout.ms": 10_000,
    "queue.buffering.max.messages": 0,  # the log that uses it has bounds of its own
}

TRANSACTOR: dict[str, Any] = {
    "enable.idempotence": True,
    "acks": "all",
    "linger.ms": 1,
    "delivery.timeout.ms": 10_000,  # it outlives the election of a leader; with 6 s it often did not, and a claim followed
    "transaction.timeout.ms": 15_000,
}

READER: dict[str, Any] = {
    "isolation.level": "read_committed",
    "enable.auto.commit": False,
    "auto.offset.reset": "error",  # an offset that is not there is an error, never a silent jump
    "fetch.wait.max.ms": 100,
    "fetch.queue.backoff.ms": 20,  # a second by default: as long a full queue would stand still
    "fetch.error.backoff.ms": 50,
    "max.partition.fetch.bytes": 256 * 1024,  # one partition's come before another's: some thousand events
    "queued.max.messages.kbytes": 16 * 1024,
}

MEMBER: dict[str, Any] = {
    **READER,
    "partition.assignment.strategy": "cooperative-sticky",
    "max.poll.interval.ms": 60_000,
}


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
        with translated():
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


def _log_failure(error: KafkaError | None, _: object) -> None:
    if error is not None:
        logger.info("offsets for displays of lag were not committed: %s", error.str())


def _note(error: KafkaError) -> None:
    """A broker that can't be reached is tried again; what a call makes of it is its own error."""
    logger.debug("%s", error.str())
