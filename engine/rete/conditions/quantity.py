"""Quantities: everything that a condition can look at, each one once however many rules look at it.

A quantity is identified by its structure, not by where it is written: a feature and the same aggregate written out
in a condition are one quantity. `Quantity.id` is a hash of that structure, the same in every network and process.
"""

from __future__ import annotations

import enum
import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from engine.expression import evaluate
from engine.language.tree import (
    Aggregate,
    Expression,
    FactRef,
    FactSource,
    Selection,
    Span,
    Test,
    Vocabulary,
)
from engine.rete.conditions.existing import rests_on
from engine.rete.conditions.joining import read_by
from engine.rete.conditions.subjects import Joined, Presence, nothing
from engine.values import Kind, Millis, Value, ValueType

Subject: TypeAlias = FactRef | Aggregate | Presence | Joined


class Origin(enum.Enum):
    """Where a quantity's value comes from."""

    GIVEN = "given"  # a profile, catalogue or request fact: somebody sets it
    EVENTS = "events"  # kept up to date by an aggregate node
    SCANNED = "scanned"  # over events whose `where` looks at a fact: read again from the retained events
    COMPUTED = "computed"  # an expression over other quantities
    DERIVED = "derived"  # asserted by rules
    JOINED = "joined"  # whether some combination of bound names makes conditions true


@dataclass(slots=True, eq=False)
class Quantity:
    """A node of the network that has a value in each session. It holds no session state itself.

    Attributes:
        index: Its place in this network.
        id: 6 bytes of the hash of its structure; two of a network with 10,000 are equal once in 5 million networks.
        default: Its value in a session of which nothing is known.
        reads: The quantities that its own value is made from.
        is_concluded: Whether rules decide its value: derived facts, and what is computed from them.
        is_timed: Whether the passing of time alone can bring a rule about through it, so that it needs a timer.
    """

    index: int
    id: bytes
    subject: Subject
    origin: Origin
    type: ValueType | None
    default: Value | None = None
    reads: tuple[int, ...] = ()
    expression: Expression | None = None
    is_concluded: bool = False
    is_timed: bool = False
    names: list[str] = field(default_factory=list)

    @property
    def span(self) -> Span | None:
        """Its span, if it is over events."""
        return None if isinstance(self.subject, FactRef | Joined) else self.subject.span

    @property
    def window(self) -> Millis | None:
        """The length of its window, if it has one."""
        return None if isinstance(self.subject, FactRef | Joined) else self.subject.span.window


class Quantities:
    """All quantities of a network, by index and by structure.

    Attributes:
        gone: Those that nothing needs any more.
    """

    def __init__(self, vocabulary: Vocabulary, former: Quantities | None = None) -> None:
        """Those of a vocabulary's facts; or those of `former`, to which others can be added."""
        self.vocabulary = vocabulary
        self.all: list[Quantity] = [] if former is None else list(former.all)
        self.gone: frozenset[int] = frozenset() if former is None else former.gone
        self.by_subject: dict[Subject, Quantity] = {} if former is None else dict(former.by_subject)
        self.by_name: dict[str, Quantity] = {} if former is None else former.by_name
        self._latest: Quantity | None = None
        if former is None:
            for name in vocabulary.facts:
                self.of_fact(name)

    def forget(self, indices: Iterable[int]) -> None:
        """Leave quantities out that nothing needs any more. Their indices stay theirs, so that those of others do."""
        for index in indices:
            subject = self.all[index].subject
            if not isinstance(subject, FactRef):
                del self.by_subject[subject]
        self.gone = self.gone.union(indices)
        self._latest = None

    def of_fact(self, name: str) -> Quantity:
        """The quantity of a fact or feature; a feature over events is its aggregate."""
        found = self.by_name.get(name)
        if found is None:
            fact = self.vocabulary.facts[name]
            if fact.aggregate is not None:
                found = self.of(fact.aggregate)
            elif fact.computed is not None:
                found = self._computed(name, fact.computed)
            else:
                found = self._add(FactRef(name), _origin(fact.source), fact.type)
                if found.origin is Origin.DERIVED and fact.type.kind is Kind.BOOLEAN:
                    found.default = False
            self.by_name[name] = found
            found.names.append(name)
        return found

    def of(self, subject: Subject) -> Quantity:
        """The quantity of a subject, made when it is new."""
        if isinstance(subject, FactRef):
            return self.of_fact(subject.fact)
        if self._latest is not None and subject is self._latest.subject:
            return self._latest  # to hash what is joined costs as much as a whole test
        found = self.by_subject.get(subject)
        if found is None:
            kind = subject.type if isinstance(subject, Aggregate) else ValueType(Kind.BOOLEAN)
            if isinstance(subject, Joined):
                read = tuple(read_by(subject))
                reads = tuple(dict.fromkeys(self.of(part).index for each in read for part in self._parts(each)))
                origin = Origin.JOINED
            else:
                reads = tuple(dict.fromkeys(self.of_fact(name).index for name in facts_in(subject)))
                origin = Origin.SCANNED if reads else Origin.EVENTS
            found = self._add(subject, origin, kind)
            found.reads = reads
            found.is_concluded = any(self.all[index].is_concluded for index in reads)
            found.default = nothing(subject)
        self._latest = found
        return found

    def _parts(self, read: Subject | Test) -> Iterable[Subject]:
        """What is looked at; of a test whether something exists, what decides that."""
        return rests_on(read.subject, self.vocabulary) if isinstance(read, Test) else (read,)

    def find(self, subject: Subject) -> Quantity | None:
        """The quantity of a subject, None where no rule and no feature has it."""
        if isinstance(subject, FactRef):
            return self.by_name.get(subject.fact)
        return self.by_subject.get(subject)

    def _computed(self, name: str, expression: Expression) -> Quantity:
        reads = tuple(
            dict.fromkeys(self.of_fact(str(item)).index for kind, item in expression.program if kind == "name")
        )
        found = self._add(FactRef(name), Origin.COMPUTED, expression.type)
        found.reads = reads
        found.is_concluded = any(self.all[index].is_concluded for index in reads)
        found.expression = expression
        try:
            found.default = evaluate(expression, lambda item: self.by_name[item].default)
        except Exception:  # noqa: BLE001 - reported when a session evaluates it
            found.default = None
        return found

    def _add(self, subject: Subject, origin: Origin, kind: ValueType) -> Quantity:
        made = Quantity(len(self.all), structural_id(subject, origin, kind), subject, origin, kind)
        made.is_concluded = origin is Origin.DERIVED
        self.all.append(made)
        if not isinstance(subject, FactRef):
            self.by_subject[subject] = made
        return made


def structural_id(subject: Subject, origin: Origin, kind: ValueType) -> bytes:
    """Hash of what a quantity means; stable across processes and versions of Python."""
    return hashlib.sha256(f"{origin.value} {kind!r} {subject!r}".encode()).digest()[:6]


def selections(subject: Aggregate | Presence) -> Iterator[tuple[Selection, int]]:
    """What is selected, with the sign with which it counts."""
    yield subject.of, 1
    if isinstance(subject, Aggregate) and subject.minus is not None:
        yield subject.minus, -1


def events_of(quantity: Quantity) -> Iterator[str]:
    """The types of events that change it, where it is over events."""
    subject = quantity.subject
    if isinstance(subject, Aggregate | Presence):
        yield from (selection.event for selection, _ in selections(subject))
        if subject.span.since is not None:
            yield subject.span.since


def facts_in(subject: Aggregate | Presence) -> Iterator[str]:
    """The facts that a `where` of the subject looks at."""
    for selection, _ in selections(subject):
        for test in selection.where:
            if isinstance(test.operand, FactRef):
                yield test.operand.fact


def _origin(source: FactSource) -> Origin:
    return Origin.DERIVED if source is FactSource.RULES else Origin.GIVEN
