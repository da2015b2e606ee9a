"""Caps and budgets in memory: for tests beside rules, simulation and preview, and the model of the real stores."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from engine.ports import Cap, Claim, LimitStore, Verdict
from engine.values import EpochMs, Millis


@dataclass(slots=True)
class _Act:
    """What one token took. `held_until` None: for good."""

    caps: tuple[Cap, ...]
    time: EpochMs
    held_until: EpochMs | None

    def counts(self, now: EpochMs) -> bool:
        """Whether it is still taken: not given back by then."""
        return self.held_until is None or now < self.held_until


class MemoryLimits(LimitStore):
    """An exact `LimitStore` of one process.

    An act counts for a cap with a sliding window of length w while `now < time + w`, as an event does; for a calendar
    period when it was taken under the same bucket; else for ever. What is held and not confirmed counts while
    `now < time + hold`. A token that still counts is granted again and takes nothing; its hold begins anew,
    because somebody may be looking at it. A token that was given back is like a new one.
    """

    def __init__(self) -> None:
        self._acts: dict[str, _Act] = {}
        self._tokens: dict[str, set[str]] = defaultdict(set)

    def take(self, claims: Sequence[Claim], slots: int, now: EpochMs, hold: Millis | None) -> Sequence[Verdict]:
        """See `LimitStore.take`."""
        verdicts = []
        granted = 0
        for claim in claims:
            if granted >= slots:
                verdicts.append(Verdict(claim.token, granted=False, asked=False))
                continue
            refused_by = self._take(claim, now, hold)
            granted += refused_by is None
            verdicts.append(Verdict(claim.token, granted=refused_by is None, refused_by=refused_by))
        return verdicts

    def confirm(self, token: str, now: EpochMs) -> bool:
        """See `LimitStore.confirm`."""
        act = self._acts.get(token)
        if act is None or not act.counts(now):
            return False
        act.held_until = None
        return True

    def used(self, caps: Sequence[Cap], now: EpochMs) -> Sequence[int]:
        """See `LimitStore.used`."""
        return [self._used(cap, now) for cap in caps]

    def close(self) -> None:
        """Nothing to let go of."""

    def _take(self, claim: Claim, now: EpochMs, hold: Millis | None) -> str | None:
        """Take all caps of a claim and return None, or take nothing and return the key of the cap that refused."""
        until = None if hold is None else now + hold
        act = self._acts.get(claim.token)
        if act is not None and act.counts(now):
            if act.held_until is not None:
                act.held_until = until if until is None else max(act.held_until, until)
            return None
        for cap in claim.caps:
            if self._used(cap, now) + cap.amount > cap.most:
                return cap.key
        self._acts[claim.token] = _Act(claim.caps, now, until)
        for cap in claim.caps:
            self._tokens[cap.key].add(claim.token)
        return None

    def _used(self, cap: Cap, now: EpochMs) -> int:
        total = 0
        for key in (cap.key, *cap.also):
            for token in self._tokens.get(key, ()):
                act = self._acts[token]
                if act.counts(now) and (cap.sliding is None or now < act.time + cap.sliding):
                    total += sum(taken.amount for taken in act.caps if taken.key == key and taken.bucket == cap.bucket)
        return total
