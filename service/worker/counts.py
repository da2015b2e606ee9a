"""What became of the events: every record ends in exactly one of applied, duplicate, dead, late, tick."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields


@dataclass(slots=True)
class Counts:
    """Counters of a batch, or of a worker since it started.

    Attributes:
        read: Records evaluated.
        applied: Events that reached their session.
        duplicates: Events whose id was seen before.
        dead: Records that can't be read or admitted; they are in the dead-letter output.
        late: Events beyond the allowed lateness; they are in the output of late events.
        ticks: Records that only say what time it is.
        activations: Rules that became true and acted.
        held_back: Rules that became true and did not act: schedule, switch, limit per session.
        triggers: Messages sent.
        limited: Messages that a limit over sessions kept back.
        held_out: Messages kept back for a holdout.
        failures: Evaluations of a rule that failed.
        opened: Sessions begun.
        ended: Sessions ended.
        lost: Sessions whose stored state could not be read; they began anew.
        batches: Batches written.
        replayed_otherwise: Times that a replay was evaluated with another revision than it had been, which was gone.
        rewinds: Times that a partition went back to what is stored.
        fired: Acting activations by rule.
        errors: Failures by rule.
    """

    read: int = 0
    applied: int = 0
    duplicates: int = 0
    dead: int = 0
    late: int = 0
    ticks: int = 0
    activations: int = 0
    held_back: int = 0
    triggers: int = 0
    limited: int = 0
    held_out: int = 0
    failures: int = 0
    opened: int = 0
    ended: int = 0
    lost: int = 0
    batches: int = 0
    rewinds: int = 0
    replayed_otherwise: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, other: Counts) -> None:
        """Add another's counters to these."""
        for name in NUMBERS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.fired.update(other.fired)
        self.errors.update(other.errors)

    def numbers(self) -> dict[str, int]:
        """The plain counters, by name."""
        return {name: getattr(self, name) for name in NUMBERS}


NUMBERS = tuple(each.name for each in fields(Counts) if each.name not in {"fired", "errors"})
