"""What is told of a condition, and of which events: those of the combination that a report is about."""

from __future__ import annotations

from dataclasses import dataclass

from engine.event import Event
from engine.language.tree import BoundRef, Selection
from engine.values import Truth
from tests.naive.history import History, State


@dataclass(frozen=True)
class Reason:
    """A condition with its truth and what was found.

    Attributes:
        is_open: It needs a name to which nothing is bound: what is told of it is not said here.
    """

    kind: str
    truth: Truth
    actual: str | None = None
    missing: str | None = None
    parts: tuple[Reason, ...] = ()
    required: str | None = None
    distance: str | None = None
    events: tuple[tuple[str, int], ...] = ()
    is_open: bool = False

    def has_open(self) -> bool:
        """Whether it, or anything in it, is open."""
        return self.is_open or any(part.has_open() for part in self.parts)


@dataclass(frozen=True)
class Told:
    """A state with names bound, and what its rule uses of them.

    Attributes:
        used: By these attributes bound events are told from others: those that agree in them are one.
    """

    history: History
    state: State
    used: frozenset[BoundRef]

    def past(self) -> list[Event]:
        """The events until now."""
        return self.history.past(self.state)

    def matches(self, selection: Selection, name: str | None, event: Event) -> bool:
        """Whether an event is selected and, of a bound name, agrees with what is bound in all that is used of it."""
        bound = self.state.bound.get(name, {}) if name is not None else {}
        return self.history.selected(selection, event, self.state) and all(
            event.attributes.get(ref.attribute) == bound.get(ref.attribute) for ref in self.used if ref.name == name
        )
