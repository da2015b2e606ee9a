"""The selections of an event type in an amended network: those that there were, and some more."""

from __future__ import annotations

from collections.abc import Sequence

from engine.rete.alpha.network import AlphaType, Broken, Feed
from engine.values import EpochMs, Value


class AmendedType(AlphaType):
    """The selections of an event type, some of which lead to quantities that no rule needs any more, and some more."""

    __slots__ = ("base", "gone", "more")

    def __init__(self, base: AlphaType, gone: frozenset[int], more: AlphaType | None) -> None:
        super().__init__(base.shape)
        self.base: AlphaType = base
        self.more: tuple[AlphaType, ...] = () if more is None else (more,)
        self.gone = gone
        if isinstance(base, AmendedType):
            self.base = base.base
            self.more = base.more + self.more
            self.gone |= base.gone
        self.joined = base.joined
        added = () if more is None else more.resets
        self.resets = (*(node for node in base.resets if node.index not in self.gone), *added)
        self.is_dull = base.is_dull and (more is None or more.is_dull)

    def rejoined(self, joined: AlphaType | None) -> AlphaType:
        """See `AlphaType`."""
        made = AmendedType(self, self.gone, None)
        made.joined = joined
        return made

    def all_reached(self, attributes: dict[str, Value], time: EpochMs) -> Sequence[Feed]:
        """See `AlphaType`."""
        return self.reached(attributes, time, [])

    def reached(self, attributes: dict[str, Value], time: EpochMs, broken: Broken) -> list[Feed]:
        """See `AlphaType`."""
        found: list[Feed] = []
        for each in (self.base, *self.more):
            told: Broken = []
            found += each.reached(attributes, time, told) if each.table is None else each.all_reached(attributes, time)
            broken += told
        gone = self.gone
        return [feed for feed in found if feed.node.index not in gone] if gone else found
