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

from connectors.kafka_client import KafkaAddress
from connectors.kafka_port import Member, OutOfRangeError
from engine.ports import PortError, Record
from engine.values import Millis

logger = logging.getLogger("salience.connectors.kafka_source")

SESSION_MS: Millis = 10_000
"""A member that was not heard of for so long is put out of the group, and others take its partitions."""

JOIN_S = 30.0
"""A member that has no partition for so long, in a group that has partitions to give, is made anew."""

DAY_SHIFT = 32
"""The group's generation has 31 bits; both together stay below 2^53, up to which Lua in Redis counts exactly."""


class KafkaEventSource:
    """`EventSource` on a topic.

    A poll that changes the assignment returns no records, so that its caller can `seek` first. A poll of an offset that
    the topic has no longer, or not yet, raises `PortError`; `seek` to 0 means the beginning, wherever it is now. A
    partition that is kept through a rebalance goes on where it was.
    """

    def __init__(self, address: KafkaAddress, partitions: int, group: str, topic: str | None = None) -> None:
        self._address = address
        self._topic = topic or address.events
        self._partitions = partitions
        self._group = group
        self._member: Member | None = None
        self._view: dict[int, int] = {}
        self._generation = (-1, -1)  # the group's, and ours for it
        self._arrivals = _Arrivals()
        self._without_since = time.monotonic()

    def poll(self, limit: int, timeout_ms: Millis) -> Mapping[int, Sequence[Record]]:
        """Fetch, and take part in the group: call it at least once a minute."""
        if limit <= 0:
            return {}
        self._join_anew_when_stuck()
        member = self._open()
        with self._address.explained(f"reading {self._topic}"):
            try:
                polled = member.poll(limit, timeout_ms)
            except OutOfRangeError as error:
                raise PortError(self._out_of_range(member, error)) from error
            if self._has_changed(member):
                for partition, records in polled.items():
                    if partition in self._view:
                        member.seek(partition, records[0].offset)
                return {}
        return polled

    def assignment(self) -> Mapping[int, int]:
        """What the last poll knew."""
        return dict(self._view)

    def seek(self, partition: int, offset: int) -> None:
        """Start there with the next poll, or when the partition is assigned."""
        if self._member is not None and partition in self._view:
            with self._address.explained("seeking"):
                self._member.seek(partition, offset)
        else:
            self._arrivals.sought[partition] = offset

    def pause(self, partitions: Collection[int]) -> None:
        """Fetch nothing of these until `resume`."""
        with self._address.explained("pausing"):
            self._open().pause([partition for partition in partitions if partition in self._view])

    def resume(self, partitions: Collection[int]) -> None:
        """Fetch these again."""
        with self._address.explained("resuming"):
            self._open().resume([partition for partition in partitions if partition in self._view])

    def commit(self, offsets: Mapping[int, int]) -> None:
        """Tell the group, without waiting; a failure is only logged, since nothing starts from these offsets."""
        if offsets:
            with self._address.explained("committing"):
                self._open().commit(offsets)

    def ends(self, timeout_ms: Millis = 10_000) -> Mapping[int, int]:
        """Ask the brokers."""
        with self._address.explained("asking for the end of the log"):
            return self._open().ends(self._topic, range(self._partitions), timeout_ms)

    def close(self) -> None:
        """Leave the group."""
        member, self._member, self._view = self._member, None, {}
        if member is not None:
            with self._address.explained("leaving the group"):
                member.close()

    def _open(self) -> Member:
        if self._member is None:
            self._arrivals = _Arrivals(self._arrivals.sought)
            with self._address.explained("connecting"):
                self._member = self._address.client.member(self._group, self._topic, self._arrivals.held, SESSION_MS)
            self._generation = (-1, -1)
            self._without_since = time.monotonic()
        return self._member

    def _has_changed(self, member: Member) -> bool:
        """Look at the group; release what was newly assigned, once its caller knows of it."""
        standing = member.standing()
        if standing is None:
            return False  # amid a rebalance: the old view is still guarded by fencing
        generation, held = standing
        if generation >= 0 and generation != self._generation[0]:
            self._generation = generation, _day() << DAY_SHIFT | generation
        view = dict.fromkeys(held, self._generation[1]) if generation >= 0 else {}
        if view:
            self._without_since = time.monotonic()
        if view == self._view:
            return False
        self._view = view
        fresh = self._arrivals.fresh & view.keys()
        self._arrivals.fresh -= fresh
        member.resume(fresh)
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

    def _out_of_range(self, member: Member, error: OutOfRangeError) -> str:
        topic, at = self._topic, error.offsets
        if not at:
            return f"Kafka at {self._address.shown}: reading {topic} failed: {error}"
        firsts, ends = member.firsts(topic, at), member.ends(topic, at)
        return "; ".join(
            f"Kafka at {self._address.shown}: {topic}: partition {partition} has no offset {offset}; it has "
            f"{firsts[partition]} to {ends[partition]}. Was the topic made anew, or is its retention too short?"
            for partition, offset in at.items()
        )


class _Arrivals:
    """Which partitions are new to the member, and where they begin; may be asked from the client's thread.

    Attributes:
        sought: Where to begin, by partition.
        fresh: New ones, paused until the caller of the source knows that it has them, and could seek.
    """

    def __init__(self, sought: dict[int, int] | None = None) -> None:
        self.sought = {} if sought is None else sought
        self.fresh: set[int] = set()
        self._held: set[int] = set()

    def held(self, partitions: Collection[int]) -> Mapping[int, int]:
        """`kafka_port.Held`."""
        new = set(partitions) - self._held
        self._held = set(partitions)
        self.fresh |= new
        return {partition: self.sought.pop(partition, 0) for partition in new}


def _day() -> int:
    return int(time.time() // 86_400)
