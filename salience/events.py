"""Events of a shop's servers: taken at once, sent in batches beside the caller, each counted once.

    from salience.events import Producer

    with Producer("https://decide.shop.example", key) as events:
        events.send("purchase", session_id, {"total": 59.90}, customer_id=customer)

`send` never waits. What it returns is done when the event is durably in the log, on all brokers that must have it: the API
answers only then. An event keeps its id however often it is sent, so that it counts once; the events of a session arrive in
the order in which they were sent.
"""

from __future__ import annotations

import logging
import random
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol, Self

import msgspec

from connectors.kafka_client import KafkaAddress
from connectors.kafka_events import KafkaEventLog
from engine.event import RawEvent
from engine.ports import EventLog, LogFullError, NewRecord, PortError
from salience.http import Api, RefusedError, UnreachableError

log = logging.getLogger("salience.events")

BATCH = 200
"""Events of one request; the API takes 500."""
LINGER_S = 0.02
"""So long an event waits for others: a request costs more than the events in it."""
CAPACITY = 10_000
"""Events that wait while the service is away; 10 MB or so."""
TIMEOUT_S = 15.0
"""Longer than the API waits for its log."""
LONGEST_REST_S = 30.0


class BufferFullError(Exception):
    """As many events wait as may: the service has been away for long. The event was not taken."""


class EventRefusedError(Exception):
    """An event that will never be taken.

    Attributes:
        code: Stable, as in the documentation of the API.
        field: JSON pointer into the event, if anywhere.
    """

    def __init__(self, code: str, detail: str, field: str | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.field = field


class NotSentError(Exception):
    """The producer was closed before the event was acknowledged. It may have arrived; sent again with its id, it counts once."""


class Verdict(msgspec.Struct):
    """What became of an event."""

    id: str | None
    verdict: str
    code: str | None = None
    field: str | None = None
    detail: str | None = None


class Way(Protocol):
    """How a batch gets into the event log."""

    def deliver(self, events: Sequence[RawEvent]) -> Sequence[Verdict]:
        """Return when all are durable or refused.

        Raises:
            UnreachableError: Not known; send all again.
            RefusedError: The whole batch is refused, for now or for ever.
        """

    def close(self) -> None:
        """Let go."""


@dataclass(slots=True)
class _Waiting:
    event: RawEvent
    sent: Future[str]


class Producer:
    """Sends events beside the caller, in a thread of its own. Safe for several threads.

    Args:
        url: Of the decision API.
        key: With the scope `events`; a server key.
        capacity: Events that may wait.
        linger_s: So long an event waits for others.
        batch: Events of one request at most.
        way: Another way into the log than the API; `on_kafka` has one.

    A context manager: at its end everything is sent, for 10 s at most.
    """

    def __init__(
        self,
        url: str = "",
        key: str = "",
        *,
        capacity: int = CAPACITY,
        linger_s: float = LINGER_S,
        batch: int = BATCH,
        way: Way | None = None,
    ) -> None:
        self._way = way if way is not None else _OverHttp(url, key)
        self._capacity = capacity
        self._linger_s = linger_s
        self._batch = batch
        self._waiting: deque[_Waiting] = deque()
        self._under_way = 0
        self._changed = threading.Condition()
        self._closed = False
        self._hurried = False
        self._thread = threading.Thread(target=self._send_all, name="salience events", daemon=True)
        self._thread.start()

    @classmethod
    def on_kafka(
        cls, bootstrap: Sequence[str], *, partitions: int, prefix: str = "salience.", capacity: int = CAPACITY
    ) -> Self:
        """A producer that writes into the topic itself, with acks=all and idempotence, as the API does.

        Nothing is checked against the vocabulary here: what does not fit goes to the dead letters of the worker.

        Args:
            bootstrap: `host:port` of some brokers.
            partitions: The setting kafka.partitions of the installation.
            prefix: Its setting kafka.topic_prefix.
            capacity: Events that may wait.
        """
        return cls(
            capacity=capacity, batch=2_000, way=_IntoLog(KafkaEventLog(KafkaAddress(bootstrap, prefix), partitions))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def send(
        self,
        type: str,  # noqa: A002 - as the field is called
        session_id: str,
        attributes: Mapping[str, object] | None = None,
        *,
        customer_id: str | None = None,
        id: str | None = None,  # noqa: A002 - as above
        time_ms: int | None = None,
    ) -> Future[str]:
        """Take an event for sending.

        Args:
            type: As the vocabulary declares it.
            session_id: The session in which it happened.
            attributes: As declared; money in major units.
            customer_id: Who is signed in.
            id: Of the event; give one where the caller may send it again after a restart. Default: a new one.
            time_ms: When it happened, ms since 1970; default: now.

        Returns:
            Done with the event's id when it is durably in the log; fails with `EventRefusedError` or `NotSentError`.
            `asyncio.wrap_future` makes it awaitable.

        Raises:
            BufferFullError: Too many wait.
        """
        now = time_ms if time_ms is not None else time.time_ns() // 1_000_000
        event = RawEvent(type, session_id, id or uuid.uuid4().hex, now, customer_id, dict(attributes or {}))
        waiting = _Waiting(event, Future())
        with self._changed:
            if self._closed:
                raise NotSentError("the producer is closed")
            if len(self._waiting) + self._under_way >= self._capacity:
                raise BufferFullError(f"{self._capacity} events wait: the service does not take them")
            self._waiting.append(waiting)
            self._changed.notify_all()
        return waiting.sent

    def flush(self, timeout_s: float = 10.0) -> bool:
        """Send what waits now; whether all of it was answered in time."""
        with self._changed:
            self._hurried = True
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._waiting and not self._under_way, timeout_s)
            finally:
                self._hurried = False

    def close(self, timeout_s: float = 10.0) -> None:
        """Send what waits, for so long; what is left then fails with `NotSentError`."""
        self.flush(timeout_s)
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(TIMEOUT_S)

    # -------------------------------------------------------------- in the thread

    def _send_all(self) -> None:
        failures = 0
        while batch := self._next():
            rest = self._send(batch, failures)
            failures = failures + 1 if rest is not None else 0
            if rest is not None:
                with self._changed:
                    self._waiting.extendleft(reversed(batch))
                    self._under_way = 0
                    self._changed.wait_for(lambda: self._closed, rest)
        with self._changed:
            left = list(self._waiting)
            self._waiting.clear()
            self._changed.notify_all()
        for each in left:
            each.sent.set_exception(NotSentError("the producer was closed before it was acknowledged"))
        self._way.close()  # here, where its connection was made

    def _next(self) -> list[_Waiting]:
        """The next batch; empty at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if not self._closed:
                self._changed.wait_for(
                    lambda: len(self._waiting) >= self._batch or self._closed or self._hurried, self._linger_s
                )
            if self._closed:
                return []
            batch = [self._waiting.popleft() for _ in range(min(self._batch, len(self._waiting)))]
            self._under_way = len(batch)
            return batch

    def _send(self, batch: list[_Waiting], failures: int) -> float | None:
        """Deliver a batch and tell each event what became of it; seconds to rest before all of it is sent again."""
        asked_for = 0.0
        try:
            verdicts = self._way.deliver([each.event for each in batch])
        except RefusedError as refused:
            if not refused.is_passing:
                self._settle(batch, [EventRefusedError(refused.code, str(refused), refused.field)] * len(batch))
                return None
            asked_for, reason = refused.retry_after_s, str(refused)
        except UnreachableError as error:
            reason = str(error)
        else:
            self._settle(batch, [_outcome(verdict) for verdict in verdicts])
            return None
        if not failures:
            log.warning("events are not taken, they wait and are sent again: %s", reason)
        # Full jitter: producers that lost the same service don't come back in step.
        return max(asked_for, random.uniform(0.05, min(LONGEST_REST_S, 0.2 * 2.0**failures)))

    def _settle(self, batch: list[_Waiting], outcomes: Sequence[EventRefusedError | None]) -> None:
        with self._changed:
            self._under_way = 0
            self._changed.notify_all()
        for waiting, outcome in zip(batch, outcomes, strict=True):
            if outcome is None:
                waiting.sent.set_result(waiting.event.id or "")
            else:
                waiting.sent.set_exception(outcome)


def _outcome(verdict: Verdict) -> EventRefusedError | None:
    if verdict.verdict == "accepted":
        return None
    return EventRefusedError(verdict.code or verdict.verdict, verdict.detail or "", verdict.field)


class _Answer(msgspec.Struct):
    events: list[Verdict]


class _OverHttp:
    """`POST /v1/events`."""

    def __init__(self, url: str, key: str) -> None:
        self._api = Api(url, key)
        self._decode = msgspec.json.Decoder(_Answer).decode

    def deliver(self, events: Sequence[RawEvent]) -> Sequence[Verdict]:
        # Times are of this machine's clock, as is this: the API shifts them by how far it is from its own.
        body = {"events": events, "sent_at": time.time_ns() // 1_000_000}
        try:
            reply = self._api.post("/v1/events", body, TIMEOUT_S, uuid.uuid4().hex)
            return self._decode(reply.body).events
        except msgspec.MsgspecError as error:
            raise UnreachableError(f"the answer can't be read: {error}") from error

    def close(self) -> None:
        self._api.close()


class _IntoLog:
    """The event log itself."""

    def __init__(self, events: EventLog) -> None:
        self._log = events
        self._encode = msgspec.json.Encoder().encode

    def deliver(self, events: Sequence[RawEvent]) -> Sequence[Verdict]:
        done: Future[PortError | None] = Future()
        records = [NewRecord(event.session_id, self._encode(event)) for event in events]
        try:
            self._log.append(records, done.set_result)
            error = done.result(TIMEOUT_S)
        except (LogFullError, PortError) as failed:
            error = failed
        except TimeoutError:
            error = PortError(f"not durable after {TIMEOUT_S:.0f} s")
        if error is not None:
            raise UnreachableError(str(error)) from error
        return [Verdict(event.id, "accepted") for event in events]

    def close(self) -> None:
        self._log.close()
