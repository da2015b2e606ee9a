"""Writes the marks of decided transactions that Kafka left out.

The coordinator of a transaction first writes down its decision, answers the client, and then writes a mark into each
partition that the transaction touched; readers of committed records see nothing behind a missing mark. Where a partition
has no leader at that moment, as while brokers come back from a crash, the coordinators of Kafka 4 take its topic for
deleted, leave the mark out and call the transaction complete (`KRaftMetadataCache.getPartitionLeaderEndpoint` answers
nothing where it should answer "none now"). The records then stay hidden until the next transaction of the producer
touches the partition, and its mark decides over them, too: what was committed is undone with it, or what was
undone is committed.

So the marks are looked for, and written, before a transactional id is taken over and again after it, and in its use before
more is sent. Writing one twice does no harm. It needs the right to alter the cluster where rights are set, as
`kafka-transactions.sh abort` does; looking needs none but those to read the topics.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin._transactions import ProducerState, TransactionDescription, TransactionState
from kafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    RetriableError,
    TransactionalIdNotFoundError,
    UnknownBrokerIdError,
    for_code,
)
from kafka.protocol.producer.transaction import WriteTxnMarkersRequest

from connectors.kafka_client import KafkaAddress
from engine.ports import PortError

logger = logging.getLogger("salience.connectors.kafka_marks")

UNDECIDED = frozenset(
    {
        TransactionState.ONGOING,
        TransactionState.PREPARE_COMMIT,
        TransactionState.PREPARE_ABORT,
        TransactionState.PREPARE_EPOCH_FENCE,
    }
)
"""Taking the id over undoes the first, and waits for the marks of the others."""

MARKS_S = 4.0
"""How long is tried where brokers change. With taking over and reading it stays below the watchdog's limit."""

PAUSE_S = 0.1


class _Admin(KafkaAdminClient):  # type: ignore[misc]  # the library ships no types
    """The library's client writes marks that undo only."""

    def mark(self, partition: Any, row: Any, epoch: int, *, is_commit: bool) -> None:
        """Write a mark for an open transaction."""
        self._manager.run(self._mark, partition, row, epoch, is_commit)

    async def _mark(self, partition: Any, row: Any, epoch: int, is_commit: bool) -> None:
        leaders = await self._async_get_leader_for_partitions([partition])
        marker = WriteTxnMarkersRequest.WritableTxnMarker
        topic = marker.WritableTxnMarkerTopic(name=partition.topic, partition_indexes=[partition.partition])
        request = WriteTxnMarkersRequest(
            markers=[
                marker(
                    producer_id=row.producer_id,
                    producer_epoch=epoch,
                    transaction_result=is_commit,
                    topics=[topic],
                    coordinator_epoch=max(row.coordinator_epoch, 0),
                )
            ]
        )
        answer = await self._manager.send(request, node_id=next(iter(leaders)))
        for code in (each.error_code for one in answer.markers for top in one.topics for each in top.partitions):
            if code:
                raise for_code(code)(f"a mark for {partition.topic}-{partition.partition} was refused")


class TransactionMarks:
    """Looks for missing marks and writes them; connects with its first use. For one thread at a time."""

    def __init__(self, address: KafkaAddress) -> None:
        self._address = address
        self._admin: _Admin | None = None

    def complete(
        self,
        transactional_id: str,
        own: tuple[str, int],
        shared: Sequence[tuple[str, int]],
        patience_s: float = MARKS_S,
    ) -> bool:
        """See to it that what the transactional id has decided is marked in all partitions that it writes to.

        Args:
            transactional_id: Whose transactions; one that is still open is left as it is.
            own: The partition that nobody else writes to: topic and number.
            shared: The others.
            patience_s: How long is tried where brokers change.

        Returns:
            Whether all is decided and marked.

        Raises:
            KafkaError: The brokers can't be asked, or refuse it.
            PortError: Another's transaction is open in `own`, so that what is behind it can't be read.
        """
        tps = [TopicPartition(*each) for each in (own, *shared)]
        deadline = time.monotonic() + patience_s
        while True:
            try:
                return self._complete(transactional_id, tps[0], tps)
            except (RetriableError, UnknownBrokerIdError):
                self.close()  # it keeps who the coordinator was
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE_S)
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close the connections; the next use connects again."""
        admin, self._admin = self._admin, None
        if admin is not None:
            with suppress(KafkaError, OSError, RuntimeError):
                admin.close()

    def _complete(self, transactional_id: str, own: Any, partitions: Sequence[Any]) -> bool:
        if self._admin is None:
            self._admin = self._address.open(_Admin, {})
        try:
            described = self._admin.describe_transactions([transactional_id])[transactional_id]
        except TransactionalIdNotFoundError:
            return True  # never used
        if described.state in UNDECIDED:
            return False
        for partition, row in self._open(partitions):
            if row.producer_id == described.producer_id:
                self._mark(partition, row, described)
            elif partition == own:
                raise PortError(
                    f"Kafka at {self._address.shown}: {own.topic}-{own.partition} can't be read behind offset "
                    f"{row.current_transaction_start_offset}: the transaction of a foreign producer "
                    f"{row.producer_id} is open; see kafka-transactions.sh find-hanging and abort"
                )
        return True

    def _open(self, partitions: Sequence[Any]) -> Iterable[tuple[Any, ProducerState]]:
        """Producers that have an open transaction, by partition."""
        assert self._admin is not None
        for partition, state in self._admin.describe_producers(partitions).items():
            for row in state.active_producers:
                if row.current_transaction_start_offset >= 0:
                    yield partition, row

    def _mark(self, partition: TopicPartition, row: ProducerState, described: TransactionDescription) -> None:
        """Write the mark that is missing.

        What was decided is seen from the epochs. Records carry the producer's. To undo a transaction, the
        coordinator raises it, since that is done for another producer; each takeover raises it once more, and none
        is done before the marks of the former are there.
        """
        assert self._admin is not None
        is_commit = row.producer_epoch + (described.state is TransactionState.EMPTY) == described.producer_epoch
        place = f"{partition.topic}-{partition.partition} at offset {row.current_transaction_start_offset}"
        try:
            self._admin.mark(partition, row, described.producer_epoch, is_commit=is_commit)
        except ClusterAuthorizationFailedError as error:
            raise PortError(
                f"Kafka at {self._address.shown}: the mark of a {'committed' if is_commit else 'aborted'} transaction is "
                f"missing in {place}, and writing it needs the right to alter the cluster"
            ) from error
        logger.warning("wrote the mark of a decided transaction, which the brokers had left out, in %s", place)
