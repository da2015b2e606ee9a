"""A partition's state as a value: what is copied, kept in a file, put back, and built anew from the log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from engine.ports import Output, Position, SessionState
from engine.regime import Regime
from engine.values import EpochMs


class PartitionCopy(msgspec.Struct, frozen=True):
    """Everything that is stored of a partition, as of one moment; who owns it is no part of it.

    Attributes:
        sessions: By id, sorted.
        seen: Ids that were seen, each with a watermark at or before the one at which it was stored.
        regimes: What the partition was evaluated with, from the first place on that is known.
    """

    partition: int
    position: Position
    sessions: Mapping[str, SessionState]
    seen: Mapping[str, EpochMs]
    outbox: Sequence[Output]
    regimes: Sequence[Regime]
