"""librdkafka: what is done about its ways, beside what both clients promise alike."""

from __future__ import annotations

import sys
import time

import pytest
from confluent_kafka import KafkaError, KafkaException

from connectors.kafka_client import KafkaAddress
from connectors.kafka_librdkafka_errors import translated
from connectors.kafka_librdkafka_reading import _generation
from connectors.kafka_librdkafka_writing import RdProducer, RdTransactor
from connectors.kafka_port import ClientError, ClientOptions, FencedProducerError, NewMessage, TooLargeError
from engine.ports import PortError


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "confluent_kafka", None)
    monkeypatch.delitem(sys.modules, "connectors.kafka_librdkafka", raising=False)
    with pytest.raises(PortError, match=r"confluent-kafka is not installed: install the extra, salience\[librdkafka\]"):
        KafkaAddress(["127.0.0.1:1"], options=ClientOptions("librdkafka"))


def test_the_generation_is_read_from_the_metadata_of_the_group_and_another_form_is_refused():
    assert _generation(b"CGMDv2:\x05\x01\x00\x00group\0member\0\0\1") == 261
    assert _generation(b"CGMDv2:\xff\xff\xff\xffgroup\0\0\0\1") == -1
    with pytest.raises(ClientError, match="has another form of a group's metadata"):
        _generation(b"CGMDv3:\x05\x00\x00\x00group\0")


class Reports:
    """A producer of the library that answers as it is told; a stand-in for faults that a broker does not bring at will."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self._waiting: list[object] = []
        self.committed = False

    def __len__(self) -> int:
        return len(self._waiting)

    def begin_transaction(self) -> None:
        pass

    def produce(self, topic: str, value: bytes, key: bytes, partition: int, report: object, **_: object) -> None:
        self._waiting.append(report)

    def poll(self, timeout: float) -> None:
        if not self._answers or not self._waiting:
            time.sleep(min(timeout, 0.01))
            return
        answer = self._answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        report = self._waiting.pop(0)
        report(answer, None)  # type: ignore[operator]

    def purge(self, **_: object) -> None:
        while self._waiting:
            self._waiting.pop(0)(KafkaError(KafkaError._PURGE_QUEUE), None)  # type: ignore[operator]


MESSAGES = [NewMessage("t", 0, b"k", b"v")] * 2


@pytest.mark.parametrize(
    ("answers", "raised"),
    [
        ((None, KafkaError(KafkaError._MSG_TIMED_OUT)), ClientError),
        ((KafkaException(KafkaError(KafkaError._FENCED, fatal=True)),), FencedProducerError),
        ((None, KafkaError(KafkaError.INVALID_PRODUCER_EPOCH)), FencedProducerError),
        ((None, KafkaError(KafkaError.MSG_SIZE_TOO_LARGE)), TooLargeError),
        ((None,), ClientError),
    ],
    ids=["one failed", "fatal", "old epoch", "too large", "one unanswered"],
)
def test_a_record_that_is_not_surely_there_fails_the_whole_transaction(answers, raised):
    transactor = RdTransactor(Reports(*answers))
    transactor.begin()
    with pytest.raises(raised):
        transactor.write(MESSAGES, 0.2)
    transactor.close()
    transactor.close()


def test_all_reports_well_is_well():
    RdTransactor(Reports(None, None)).write(MESSAGES, 5)


def test_an_exception_within_a_report_is_told_as_what_it_was():
    fatal = KafkaException(KafkaError(KafkaError._FENCED, fatal=True))
    error = SystemError("a call returned a result with an exception set")
    error.__cause__ = fatal
    with pytest.raises(FencedProducerError), translated():
        raise error


def test_after_a_fatal_error_a_producer_takes_nothing_and_every_record_is_answered():
    """The reports of what waits come when it is closed; none may be missing, or the log would wait for ever."""
    fatal = KafkaException(KafkaError(KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, fatal=True))
    producer = RdProducer(Reports(None, fatal), 1.0)
    answers: list[BaseException | None] = []
    try:
        producer.send("t", [(0, b"k", b"v")] * 3, answers.append)
        deadline = time.monotonic() + 10
        while producer._fatal is None and time.monotonic() < deadline:
            time.sleep(0.01)
        with pytest.raises(ClientError):
            producer.send("t", [(0, b"k", b"v")], answers.append)
    finally:
        producer.close(5)
    assert [type(each) for each in answers] == [type(None), ClientError, ClientError]
