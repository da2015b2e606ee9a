"""Working memories of sessions that are asked about again: to read one from its snapshot costs more than to look at it."""

from __future__ import annotations

from collections import OrderedDict

from engine.rete import Memory, Network

CAPACITY = 1_000
"""Sessions of some 20 KB each: those that look at pages now."""


class Memories:
    """The memories of one network's sessions as they were stored last; only views are made of them.

    A view changes nothing, so that all requests about a session share one memory until its snapshot is another. Used from
    one thread.
    """

    def __init__(self, network: Network, capacity: int = CAPACITY) -> None:
        self._network = network
        self._capacity = capacity
        self._kept: OrderedDict[str, tuple[bytes, Memory]] = OrderedDict()

    def of(self, session_id: str, snapshot: bytes) -> Memory:
        """The memory of a snapshot; raises as `Network.restore`."""
        kept = self._kept.get(session_id)
        if kept is not None and kept[0] == snapshot:
            self._kept.move_to_end(session_id)
            return kept[1]
        memory = self._network.restore(snapshot)
        self._kept[session_id] = (snapshot, memory)
        self._kept.move_to_end(session_id)
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return memory

    def drop(self, session_id: str) -> None:
        """Forget a session's, as one that is stored no more."""
        self._kept.pop(session_id, None)
