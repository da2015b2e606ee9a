"""The reading end of the event log on Kafka: one member of a consumer group.

Offsets are committed for displays of lag only. A partition starts where it was sought, else at its beginning, never where
the group stands. Only committed records are read.

The generation is `day << 32 | generation of the group`. Kafka forgets a group some time after its last member left (7 days
by default) and counts from 1 again, while the state store still knows the last generation, and would refuse all of the
new group for ever: the day (UTC, at which this member learnt of the generation) puts it above. Within a day the group's own
number decides, so that the clocks of workers need not agree, but for a rebalance within their difference of midnight: the
member is then refused until the next rebalance.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.range import RangePartitionAssignor
from kafka.errors import KafkaError, OffsetOutOfRangeError
from kafka.structs import MemberState

from connectors.kafka_client import KafkaAddress
from engine.ports import PortError, Record
from engine.values import Millis

logger = logging.getLogger("salience.connectors.kafka_source")

SETTINGS = {
    "metrics_enabled": False,
    "enable_auto_commit": False,
    "auto_offset_reset": "none",  # an offset that is not there is an error, never a silent jump
    "isolation_level": "read_committed",
    "allow_auto_create_topics": False,
    # Eager, and tried with faults; the cooperative one is not yet.
    "partition_assignment_strategy": (RangePartitionAssignor,),
    "session_timeout_ms": 10_000,
    "heartbeat_interval_ms": 2_000,
    "max_poll_interval_ms": 60_000,
    "fetch_max_wait_ms": 100,
    "max_partition_fetch_bytes": 2 * 1024 * 1024,
}

JOIN_S = 30.0
"""A member that has no partition for so long, in a group that has partitions to give, is made anew."""

DAY_SHIFT = 32
"""The group's generation has 31 bits; both together stay below 2^53, up to which Lua in Redis counts exactly."""

ASK_MS: Millis = 10_000
"""The longest wait for ends and for closing."""


class KafkaEventSource:
    """`EventSource` on a topic.

    A poll that changes the assignment returns no records, so that its caller can `seek` first. A poll of an offset that
    the topic has no longer, or not yet, raises `PortError`; `seek` to 0 means the beginning, wherever it is now. A
    partition that is kept through a rebalance goes on where it was.
    """

    def __init__(self, address: KafkaAddress, partitions: int, group: str) -> None:
        self._address = address
        self._partitions = partitions
        self._group = group
        self._consumer: Any = None
        self._view: dict[int, int] = {}
        self._generation = (-1, -1)  # the group's, and ours for it
        self._listener = _Listener()
        self._without_since = time.monotonic()

    def poll(self, limit: int, timeout_ms: Millis) -> Mapping[int, Sequence[Record]]:
        """Fetch, and take part in the group: call it at least once a minute."""
        if limit <= 0:
            return {}
        self._join_anew_when_stuck()
        consumer = self._open()
        _unpark(consumer)
        with self._address.explained(f"reading {self._address.events}"):
            try:
                polled = consumer.poll(timeout_ms=timeout_ms, max_records=limit)
            except OffsetOutOfRangeError as error:
                raise PortError(self._out_of_range(error)) from error
            if self._has_changed(consumer):
                for partition, records in polled.items():
                    consumer.seek(partition, records[0].offset)
                return {}
        return {partition.partition: [_record(record) for record in records] for partition, records in polled.items()}

    def assignment(self) -> Mapping[int, int]:
        """What the last poll knew."""
        return dict(self._view)

    def seek(self, partition: int, offset: int) -> None:
        """Start there with the next poll, or when the partition is assigned."""
        if partition in self._view:
            with self._address.explained("seeking"):
                _seek(self._consumer, self._tp(partition), offset)
        else:
            self._listener.sought[partition] = offset

    def pause(self, partitions: Collection[int]) -> None:
        """Fetch nothing of these until `resume`."""
        with self._address.explained("pausing"):
            self._open().pause(*[self._tp(partition) for partition in partitions if partition in self._view])

    def resume(self, partitions: Collection[int]) -> None:
        """Fetch these again."""
        with self._address.explained("resuming"):
            self._open().resume(*[self._tp(partition) for partition in partitions if partition in self._view])

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell the group, without waiting; a failure is only logged, since nothing starts from these offsets."""
        if not offsets:
            return
        committed = {self._tp(partition): OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()}
        with self._address.explained("committing"):
            self._open().commit_async(committed, callback=_log_failure)

    def ends(self) -> Mapping[int, int]:
        """Ask the brokers."""
        partitions = [self._tp(partition) for partition in range(self._partitions)]
        with self._address.explained("asking for the end of the log"):
            ends = self._open().end_offsets(partitions, timeout_ms=ASK_MS)
        return {partition.partition: offset for partition, offset in ends.items()}

    def close(self) -> None:
        """Leave the group."""
        consumer, self._consumer, self._view = self._consumer, None, {}
        if consumer is not None:
            with self._address.explained("leaving the group"):
                consumer.close(autocommit=False, timeout_ms=ASK_MS)

    def _open(self) -> Any:
        if self._consumer is None:
            with self._address.explained("connecting"):
                consumer = self._address.open(KafkaConsumer, SETTINGS, group_id=self._group)
                self._listener = _Listener(consumer, self._listener.sought)
                consumer.subscribe([self._address.events], listener=self._listener)
            self._consumer = consumer
            self._generation = (-1, -1)
            self._without_since = time.monotonic()
        return self._consumer

    def _has_changed(self, consumer: Any) -> bool:
        """Look at the group; release what was newly assigned, once its caller knows of it."""
        group = consumer.group_metadata()
        if group.state == MemberState.STABLE:
            if group.generation_id != self._generation[0]:
                self._generation = group.generation_id, _day() << DAY_SHIFT | group.generation_id
            view = {tp.partition: self._generation[1] for tp in consumer.assignment()}
        elif group.generation_id < 0:
            view = {}
        else:
            return (
                False  # in the midst of a rebalance: nothing is delivered, and the old view is still guarded by fencing
            )
        if view:
            self._without_since = time.monotonic()
        if view == self._view:
            return False
        self._view = view
        fresh, self._listener.fresh = self._listener.fresh, set()
        consumer.resume(*[tp for tp in fresh if tp.partition in view])
        return True

    def _join_anew_when_stuck(self) -> None:
        if self._view or time.monotonic() - self._without_since < JOIN_S:
            return
        self._without_since = time.monotonic()
        try:
            if self._address.members(self._group) >= self._partitions:
                return  # a spare member: all partitions have one
        except PortError as error:
            logger.warning("%s", error)
        logger.warning("no partition for %.0f s: joining group %s anew", JOIN_S, self._group)
        try:
            self.close()
        except PortError as error:
            logger.warning("%s", error)
        self._open()

    def _out_of_range(self, error: OffsetOutOfRangeError) -> str:
        offsets = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
        if not offsets:
            return f"Kafka at {self._address.shown}: reading {self._address.events} failed: {error}"
        firsts = self._consumer.beginning_offsets(list(offsets), timeout_ms=ASK_MS)
        ends = self._consumer.end_offsets(list(offsets), timeout_ms=ASK_MS)
        return "; ".join(
            f"Kafka at {self._address.shown}: {tp.topic}: partition {tp.partition} has no offset "
            f"{getattr(at, 'offset', at)}; it has {firsts[tp]} to {ends[tp]}. "
            "Was the topic made anew, or is its retention too short?"
            for tp, at in offsets.items()
        )

    def _tp(self, partition: int) -> TopicPartition:
        return TopicPartition(self._address.events, partition)


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # the library ships no types
    """Notes and seeks; runs on the client's thread, in the midst of a rebalance."""

    def __init__(self, consumer: Any = None, sought: dict[int, int] | None = None) -> None:
        self._consumer = consumer
        self._held: set[Any] = set()
        self.sought = {} if sought is None else sought
        self.fresh: set[Any] = set()

    def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        """Nothing: whether they really go is known when the new assignment is there."""

    def on_partitions_lost(self, lost: Collection[Any]) -> None:
        self._held -= set(lost)

    def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        held = set(self._consumer.assignment())
        for tp in held - self._held:
            _seek(self._consumer, tp, self.sought.pop(tp.partition, 0))
            # Until our caller knows that it has this one, and could seek.
            self._consumer.pause(tp)
            self.fresh.add(tp)
        self._held = held


def _unpark(consumer: Any) -> None:
    """Let the client give back what it put aside for paused partitions.

    It does so only while no other partition's records are being handed out, and takes those that are used up for some;
    what it has put aside it does not fetch again, so that the partition would stand still for good.
    """
    fetcher = consumer._fetcher  # noqa: SLF001 - nothing public reaches it; the client is pinned
    if fetcher._paused_partition_records and not fetcher._next_partition_records:  # noqa: SLF001 - as above
        fetcher._next_partition_records = None  # noqa: SLF001 - as above


def _day() -> int:
    return int(time.time() // 86_400)


def _seek(consumer: Any, tp: TopicPartition, offset: int) -> None:
    if offset:
        consumer.seek(tp, offset)
    else:
        consumer.seek_to_beginning(tp)


def _record(record: Any) -> Record:
    # Others may write to the topic, too: a key or value that is missing, or is no text, is for the worker to judge.
    key = "" if record.key is None else bytes(record.key).decode(errors="replace")
    return Record(record.partition, record.offset, key, record.value or b"", record.timestamp)


def _log_failure(offsets: object, response: object) -> None:
    if isinstance(response, KafkaError):
        logger.info("offsets for displays of lag were not committed: %s", response)
