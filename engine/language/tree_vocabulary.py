"""The vocabulary after every name, type and unit has been resolved: everything that rules may name."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.language.tree_conditions import Aggregate
from engine.values import Millis, ValueType


class FactSource(enum.StrEnum):
    """Who gives a fact its value."""

    PROFILE = "profile"
    REQUEST = "request"
    CATALOGUE = "catalogue"
    RULES = "rules"
    FEATURE = "feature"


@dataclass(frozen=True, slots=True)
class Expression:
    """Arithmetic over attributes of one event (`quantity * price`) or over facts and features.

    Attributes:
        text: As written, in canonical spacing.
        program: Postfix: names are `("name", x)`, constants `("value", x)`, operators `("op", "+")`.
        type: The type of the result; money results are rounded half to even to whole minor units.
    """

    text: str
    program: tuple[tuple[str, str | int | float], ...]
    type: ValueType


@dataclass(frozen=True, slots=True)
class Attribute:
    """An attribute of an event type; a computed one has an expression over the others."""

    name: str
    type: ValueType
    computed: Expression | None = None


@dataclass(frozen=True, slots=True)
class EventType:
    """A declared event type."""

    name: str
    attributes: Mapping[str, Attribute]


@dataclass(frozen=True, slots=True)
class Fact:
    """A declared fact or feature.

    Attributes:
        by: For a catalogue fact, the attribute that its key comes from.
        aggregate: For a feature over events.
        computed: For a feature computed from other facts and features.
    """

    name: str
    type: ValueType
    source: FactSource
    by: str | None = None
    aggregate: Aggregate | None = None
    computed: Expression | None = None


@dataclass(frozen=True, slots=True)
class ScoreDef:
    """A model that rules may ask: its registry name and its deadline at a request."""

    name: str
    model: str
    deadline: Millis


@dataclass(frozen=True, slots=True)
class Placement:
    """A spot in the storefront. `fallback` is an offer id; `deadline` None means the setting's."""

    name: str
    slots: int
    fallback: str
    deadline: Millis | None = None


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Everything that rules may name.

    Attributes:
        minor_units: How many decimals the currency has (EUR 2, JPY 0).
        timezone: The shop's: of calendar limits and local times that name no zone of their own.
        derived: The facts that rules assert.
    """

    currency: str
    minor_units: int
    session_timeout: Millis
    keep_events: int
    events: Mapping[str, EventType]
    facts: Mapping[str, Fact]
    scores: Mapping[str, ScoreDef]
    placements: Mapping[str, Placement]
    timezone: str = "UTC"
    derived: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Looked at for each rule, so found out once."""
        derived = (name for name, fact in self.facts.items() if fact.source is FactSource.RULES)
        object.__setattr__(self, "derived", frozenset(derived))
