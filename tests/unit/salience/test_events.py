"""The producer: never waits, keeps order and ids over faults, and says of each event what became of it."""

import itertools
import threading
import time

import pytest

from engine.ports import LogFullError, PortError
from salience.events import BufferFullError, EventRefusedError, NotSentError, Producer, Verdict, _IntoLog
from salience.http import RefusedError, UnreachableError


class FakeWay:
    """A way whose next outcomes the test sets; what arrives is kept."""

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.batches = []
        self.may_deliver = threading.Event()
        self.may_deliver.set()
        self.refused: set[str] = set()

    def deliver(self, events):
        self.may_deliver.wait(10)
        self.batches.append([event.id for event in events])
        if self.outcomes and (outcome := self.outcomes.pop(0)) is not None:
            raise outcome
        return [
            Verdict(each.id, "refused", "unknown-event", "/type", "no such event")
            if each.type in self.refused
            else Verdict(each.id, "accepted")
            for each in events
        ]

    def close(self):
        pass


def test_events_are_sent_in_batches_in_their_order_and_each_is_told():
    way = FakeWay()
    way.may_deliver.clear()
    with Producer(way=way, batch=3) as producer:
        sent = [producer.send("seen", "s1", {"n": number}, id=f"e{number}") for number in range(8)]
        way.may_deliver.set()
        assert [each.result(10) for each in sent] == [f"e{number}" for number in range(8)]
    assert list(itertools.chain(*way.batches)) == [f"e{number}" for number in range(8)]
    assert max(map(len, way.batches)) == 3


@pytest.mark.parametrize(
    "fault", [UnreachableError("connection refused"), RefusedError(503, "log-unavailable", "away", None, 0.0)]
)
def test_what_is_not_known_to_have_arrived_is_sent_again_with_its_id_and_in_its_place(fault):
    way = FakeWay(fault, fault, None)
    with Producer(way=way) as producer:
        first = producer.send("seen", "s1", id="first")
        second = producer.send("seen", "s1", id="second")
        assert (first.result(30), second.result(30)) == ("first", "second")
    assert way.batches[0][0] == way.batches[1][0] == way.batches[2][0] == "first"
    assert list(itertools.chain(*way.batches[2:])) == ["first", "second"]


def test_a_refused_event_fails_alone_and_a_refused_batch_whole():
    way = FakeWay(None, RefusedError(401, "key-unknown", "The key does not exist.", "Authorization", 0.0))
    way.refused = {"dreamt"}
    with Producer(way=way) as producer:
        good, bad = producer.send("seen", "s1"), producer.send("dreamt", "s1")
        assert good.result(10)
        with pytest.raises(EventRefusedError, match="no such event") as refused:
            bad.result(10)
        assert (refused.value.code, refused.value.field) == ("unknown-event", "/type")
        producer.flush()
        with pytest.raises(EventRefusedError, match="key does not exist"):
            producer.send("seen", "s1").result(10)


def test_a_full_buffer_says_so_at_once_and_closing_tells_what_was_not_sent():
    way = FakeWay(*[UnreachableError("away")] * 1_000)
    producer = Producer(way=way, capacity=2)
    waiting = [producer.send("seen", "s1") for _ in range(2)]
    with pytest.raises(BufferFullError):
        producer.send("seen", "s1")
    producer.close(timeout_s=0.05)
    for each in waiting:
        with pytest.raises(NotSentError):
            each.result(10)
    with pytest.raises(NotSentError, match="closed"):
        producer.send("seen", "s1")


def test_send_does_not_wait_for_a_service_that_hangs():
    way = FakeWay()
    way.may_deliver.clear()
    producer = Producer(way=way)
    begun = time.process_time()
    for _ in range(100):
        producer.send("seen", "s1")
    assert time.process_time() - begun < 1
    assert not producer.flush(0.01)
    way.may_deliver.set()
    assert producer.flush(30)
    producer.close()


class FakeLog:
    partitions = 4

    def __init__(self, *outcomes):
        self.outcomes = list(outcomes)
        self.records = []

    def append(self, records, done):
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, LogFullError):
            raise outcome
        if outcome is None:
            self.records += records
        done(outcome)

    def flush(self, timeout_ms):
        pass

    def close(self):
        pass


def test_the_way_into_the_log_writes_what_the_api_would_and_tries_again():
    log = FakeLog(LogFullError("full"), PortError("broker gone"), None)
    with Producer(way=_IntoLog(log)) as producer:
        sent = producer.send("seen", "s1", {"product": "p1"}, customer_id="c1", id="e1", time_ms=5)
        assert sent.result(30) == "e1"
    (record,) = log.records
    assert record.key == "s1"
    assert b'"customer_id":"c1"' in record.value
    assert b'"time":5' in record.value
