"""The words of generated worlds: events, facts, sample values. Few of each, so that things meet."""

from __future__ import annotations

from collections.abc import Callable

from engine.language.tree import BoundRef, FactSource, Operator
from engine.values import Kind, Value, ValueType

Catalogue = Callable[[str, Value], Value | None]

TEXT, INTEGER, NUMBER = ValueType(Kind.TEXT), ValueType(Kind.INTEGER), ValueType(Kind.NUMBER)
MONEY, BOOLEAN, TIMESTAMP = ValueType(Kind.MONEY), ValueType(Kind.BOOLEAN), ValueType(Kind.TIMESTAMP)
DURATION, WORDS = ValueType(Kind.DURATION), ValueType(Kind.LIST, item=ValueType(Kind.TEXT))
CHOICE = ValueType(Kind.CHOICE, ("red", "green", "blue"))
START = 1_700_000_000_000  # 2023-11-14T22:13:20Z: a Tuesday, so that a midnight is near
WINDOWS = (1_000, 2_000, 5_000, 10_000)

EVENTS: dict[str, dict[str, ValueType]] = {
    "view": {"colour": CHOICE, "price": MONEY, "size": INTEGER, "weight": NUMBER, "made": TIMESTAMP, "tags": WORDS},
    "cart": {"colour": CHOICE, "price": MONEY, "gift": BOOLEAN},
    "pay": {},
}
FACTS: dict[str, tuple[ValueType, FactSource]] = {
    "customer.tier": (CHOICE, FactSource.PROFILE),
    "customer.orders": (INTEGER, FactSource.PROFILE),
    "customer.spent": (MONEY, FactSource.PROFILE),
    "customer.since": (TIMESTAMP, FactSource.PROFILE),
    "customer.patience": (DURATION, FactSource.PROFILE),
    "customer.name": (TEXT, FactSource.PROFILE),
    "context.page": (CHOICE, FactSource.REQUEST),
    "shopper.keen": (BOOLEAN, FactSource.RULES),
    "shopper.lost": (BOOLEAN, FactSource.RULES),
    "shopper.rich": (BOOLEAN, FactSource.RULES),
    "shopper.level": (INTEGER, FactSource.RULES),
}
CATALOGUE = {"product.stock": INTEGER, "product.price": MONEY}  # by colour

PATTERNS = frozenset({"as", "per", "take", "of", "where", "sequence", "absence"})
"""Words for conditions over several events, `where` for facts of things inside one; each can be left out of a world."""

Scope = tuple[tuple[BoundRef, ValueType], ...]
"""What may be named at a place: attributes of bound names, with their types."""
SAMPLES: dict[Kind, tuple[Value, ...]] = {
    Kind.CHOICE: ("red", "green", "blue"),
    Kind.TEXT: ("ann", "bob", "an"),
    Kind.INTEGER: (0, 1, 2, 3, 5),
    Kind.NUMBER: (0.1, 0.2, 0.3, 1e17, -0.1, 2.5),
    Kind.MONEY: (0, 100, 150, 250, 1000),
    Kind.BOOLEAN: (True, False),
    Kind.TIMESTAMP: (START - 5_000, START, START + 3_000, START + 8_000),
    Kind.DURATION: (1_000, 2_000, 5_000),
    Kind.LIST: ((), ("a",), ("a", "b")),
}
ORDERED = (Operator.ABOVE, Operator.AT_LEAST, Operator.BELOW, Operator.AT_MOST)
