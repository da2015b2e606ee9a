"""What a transactional producer of kafka-python says when it has failed."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from kafka import TopicPartition
from kafka.errors import KafkaError, KafkaTimeoutError, ProducerFencedError
from kafka.producer.transaction_manager import ProducerIdAndEpoch, TransactionManager

from connectors.kafka_port import FencedProducerError, NewMessage
from connectors.kafka_python_writing import PythonTransactor


def failing_amid(cause: KafkaError) -> PythonTransactor:
    """A producer whose thread meets an error between two records of a transaction."""
    manager = TransactionManager(transactional_id="outputs-0")
    manager.initialize_transactions()
    manager.set_producer_id_and_epoch(ProducerIdAndEpoch(1, 0))
    manager._transition_to(type(manager._current_state).READY)

    def send(topic: str, *, partition: int, **record: object) -> None:
        manager.maybe_add_partition_to_transaction(TopicPartition(topic, partition))
        manager.transition_to_fatal_error(cause)

    producer = SimpleNamespace(
        _transaction_manager=manager,
        send=send,
        begin_transaction=manager.begin_transaction,
        commit_transaction=manager.begin_commit,
    )
    return PythonTransactor(producer)


TWO = [NewMessage("triggers", number, b"k", b"v", []) for number in range(2)]


def test_a_producer_that_is_fenced_between_two_records_says_so() -> None:
    """The client says only that it has failed; whose turn is over must not be taken for a broker that is away."""
    transactor = failing_amid(ProducerFencedError())
    transactor.begin()
    with pytest.raises(FencedProducerError):
        transactor.write(TWO, 1)
    with pytest.raises(FencedProducerError):
        transactor.commit()


def test_another_failure_is_not_taken_for_it() -> None:
    transactor = failing_amid(KafkaTimeoutError("no answer"))
    transactor.begin()
    with pytest.raises(KafkaError, match="Cannot perform send"):
        transactor.write(TWO, 1)


def test_all_partitions_of_a_transaction_are_named_before_its_first_record_wakes_the_client() -> None:
    """Each that is named later is a question of its own to the coordinator."""
    manager = TransactionManager(transactional_id="outputs-0")
    manager.initialize_transactions()
    manager.set_producer_id_and_epoch(ProducerIdAndEpoch(1, 0))
    manager._transition_to(type(manager._current_state).READY)
    named: list[set[TopicPartition]] = []

    def send(topic: str, **record: object) -> SimpleNamespace:
        named.append(set(manager._new_partitions_in_transaction))
        return SimpleNamespace(get=lambda timeout: None)

    producer = SimpleNamespace(_transaction_manager=manager, send=send, begin_transaction=manager.begin_transaction)
    transactor = PythonTransactor(producer)
    transactor.begin()
    transactor.write(TWO, 1)
    assert named[0] == {TopicPartition("triggers", number) for number in range(2)}
