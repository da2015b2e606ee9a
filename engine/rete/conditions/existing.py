"""Whether something has a value: `exists` is unknown only of what rests on events that a session no longer keeps.

An aggregate that is unknown for want of events looks like one that has no value, so `exists` asks for what gives it one.
Counts and sums always have one. A minimum, an average, the first and the last have one where an event is there, which is
known beyond the events that are kept. What is computed has one if all that it is made from has, unless it divides by 0.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from engine.language.tree import Aggregate, FactRef, Vocabulary
from engine.rete.conditions.subjects import Presence, nothing
from engine.values import Truth, Value


def exists(subject: FactRef | Aggregate, vocabulary: Vocabulary, value: Callable[[Any], Value | None]) -> Truth:
    """Whether a fact, feature or aggregate has a value; `value` gives what is known of any of `rests_on`."""
    aggregate = aggregate_of(subject, vocabulary)
    if aggregate is not None:
        present: Any = True if nothing(aggregate) is not None else value(Presence(aggregate.of, aggregate.span))
        return present  # type: ignore[no-any-return]
    if value(subject) is not None:
        return True
    parts = list(_parts(subject, vocabulary))
    if any(exists(part, vocabulary, value) is False for part in parts):
        return False
    return None if any(value(part) is None for part in parts) else False


def rests_on(subject: FactRef | Aggregate, vocabulary: Vocabulary) -> Iterator[FactRef | Aggregate | Presence]:
    """What `exists` asks for; of counts and sums the value itself, though it always has one."""
    aggregate = aggregate_of(subject, vocabulary)
    if aggregate is None:
        assert isinstance(subject, FactRef)
        yield subject
        for part in _parts(subject, vocabulary):
            yield part
            yield from rests_on(part, vocabulary)
    else:
        yield aggregate if nothing(aggregate) is not None else Presence(aggregate.of, aggregate.span)


def aggregate_of(subject: FactRef | Aggregate, vocabulary: Vocabulary) -> Aggregate | None:
    """An aggregate, or the one that a feature is."""
    return subject if isinstance(subject, Aggregate) else vocabulary.facts[subject.fact].aggregate


def _parts(subject: FactRef | Aggregate, vocabulary: Vocabulary) -> Iterator[FactRef]:
    """What a computed feature is made from."""
    computed = vocabulary.facts[subject.fact].computed if isinstance(subject, FactRef) else None
    if computed is not None:
        yield from (FactRef(str(item)) for kind, item in computed.program if kind == "name")
