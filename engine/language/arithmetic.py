"""Arithmetic as written (`quantity * price`) to a checked postfix program, with units.

Each operand is a plain number, money, or a duration. Plus and minus need equal units, of a product one side must be
plain, and a quotient of equal units is plain. A constant beside money counts in major units.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.language.tree import Expression
from engine.units import LARGEST, parse_money
from engine.values import NUMERIC, Kind, ValueType

LONGEST = 400
DEEPEST = 16

_TOKEN = re.compile(
    r"\s*(?:(?P<number>[0-9]+(?:\.[0-9]+)?)|(?P<name>[A-Za-z][A-Za-z0-9_]*(?:\.[A-Za-z][A-Za-z0-9_]*)*)|(?P<op>[-+*/()]))",
    re.ASCII,
)
_Item = tuple[str, str | int | float]


class ArithmeticFaultError(ValueError):
    """Not arithmetic, or units that do not fit. `code` is the diagnostic's, `offset` counts from the text's start."""

    def __init__(self, message: str, offset: int, length: int = 1, name: str | None = None) -> None:
        super().__init__(message)
        self.offset = offset
        self.length = length
        self.name = name


@dataclass(slots=True)
class _Part:
    """A parsed part: its program, its unit (Kind.NUMBER is plain), and whether it is whole and a constant."""

    program: list[_Item]
    unit: Kind
    is_whole: bool
    text: str
    constant: str | None = None


@dataclass(slots=True)
class _Parser:
    text: str
    type_of: Callable[[str], ValueType | None]
    minor_units: int
    tokens: list[tuple[str, str, int]] = field(default_factory=list)
    at: int = 0

    def scan(self) -> None:
        offset, text = 0, self.text.rstrip()
        while offset < len(text):
            match = _TOKEN.match(text, offset)
            if match is None:
                stripped = offset + len(text[offset:]) - len(text[offset:].lstrip())
                raise ArithmeticFaultError(f"{text[stripped]} is not part of arithmetic: + - * / ( ) are", stripped)
            kind = match.lastgroup or ""
            self.tokens.append((kind, match[kind], match.start(kind)))
            offset = match.end()
        self.tokens.append(("end", "", len(text)))

    def sum(self, depth: int) -> _Part:
        left = self.product(depth)
        while self.tokens[self.at][1] in {"+", "-"}:
            left = self.join(left, depth, self.product)
        return left

    def product(self, depth: int) -> _Part:
        left = self.single(depth)
        while self.tokens[self.at][1] in {"*", "/"}:
            left = self.join(left, depth, self.single)
        return left

    def join(self, left: _Part, depth: int, read: Callable[[int], _Part]) -> _Part:
        _, operator, offset = self.tokens[self.at]
        self.at += 1
        right = read(depth)
        is_plain = (left.unit is Kind.NUMBER, right.unit is Kind.NUMBER)
        if operator in {"+", "-"}:
            self.to_money(left, right)
            self.to_money(right, left)
            if left.unit is not right.unit:
                message = f"{operator} needs equal units: {left.text} is {_unit(left)}, {right.text} is {_unit(right)}"
                raise ArithmeticFaultError(message, offset)
            unit = left.unit
        elif operator == "*":
            if not any(is_plain):
                raise ArithmeticFaultError(f"{_unit(left)} times {_unit(right)} has no meaning", offset)
            unit = right.unit if is_plain[0] else left.unit
        else:
            if not is_plain[1] and left.unit is not right.unit:
                raise ArithmeticFaultError(f"{_unit(left)} divided by {_unit(right)} has no meaning", offset)
            unit = left.unit if is_plain[1] else Kind.NUMBER
        is_whole = operator != "/" and left.is_whole and right.is_whole
        text = f"{left.text} {operator} {right.text}"
        return _Part([*left.program, *right.program, ("op", operator)], unit, is_whole, text)

    def to_money(self, part: _Part, other: _Part) -> None:
        if part.constant is None or other.unit is not Kind.MONEY:
            return
        try:
            amount = parse_money(part.constant, self.minor_units)
        except ValueError:
            amount = None
        if amount is None:
            raise ArithmeticFaultError(f"{part.constant} is no amount of the currency", self.tokens[self.at - 1][2])
        part.program, part.unit, part.constant = [("value", amount)], Kind.MONEY, None

    def single(self, depth: int) -> _Part:
        kind, text, offset = self.tokens[self.at]
        self.at += 1
        if depth > DEEPEST:
            raise ArithmeticFaultError(f"more than {DEEPEST} levels of parentheses", offset)
        if kind == "number":
            value = float(text) if "." in text else int(text)
            if value > LARGEST:
                raise ArithmeticFaultError(f"{text[:40]} is too large", offset, len(text))
            return _Part([("value", value)], Kind.NUMBER, isinstance(value, int), text, constant=text)
        if kind == "name":
            found = self.type_of(text)
            if found is None:
                raise ArithmeticFaultError(f"unknown name {text}", offset, len(text), name=text)
            if found.kind not in NUMERIC:
                raise ArithmeticFaultError(
                    f"{text} is {found.kind.value}, with which nothing can be computed", offset, len(text)
                )
            unit = Kind.NUMBER if found.kind is Kind.INTEGER else found.kind
            return _Part([("name", text)], unit, found.kind is Kind.INTEGER, text)
        if text == "(":
            inner = self.sum(depth + 1)
            if self.tokens[self.at][1] != ")":
                raise ArithmeticFaultError("a closing ) is missing", self.tokens[self.at][2])
            self.at += 1
            inner.text = f"({inner.text})"
            return inner
        if text == "-":
            part = self.single(depth + 1)
            return _Part([("value", 0), *part.program, ("op", "-")], part.unit, part.is_whole, f"-{part.text}")
        raise ArithmeticFaultError(
            "a name or a number is missing here" if kind == "end" else f"{text} has nothing before it", offset
        )


def parse_arithmetic(
    text: str, result: Kind, type_of: Callable[[str], ValueType | None], minor_units: int
) -> Expression:
    """Parse an expression whose declared type is `result`.

    A number may be made of money: it then counts in major units (`{number: cart.value / product.views}` is euros).

    Raises:
        ArithmeticFaultError: With the offset in `text`, and the name where one is unknown.
    """
    if len(text) > LONGEST:
        raise ArithmeticFaultError(f"more than {LONGEST} characters", 0)
    parser = _Parser(text, type_of, minor_units)
    parser.scan()
    part = parser.sum(0)
    _, rest, offset = parser.tokens[parser.at]
    if rest:
        raise ArithmeticFaultError(f"{rest} does not fit here", offset, len(rest))
    if not any(kind == "name" for kind, _ in part.program):
        raise ArithmeticFaultError("this is a constant: it names nothing to compute with", 0, len(text))
    program = part.program
    if result is Kind.NUMBER and part.unit is Kind.MONEY:
        program = [*program, ("value", 10**minor_units), ("op", "/")]
    elif result is Kind.INTEGER and (part.unit is not Kind.NUMBER or not part.is_whole):
        given = "a number with a fraction" if part.unit is Kind.NUMBER else _unit(part)
        raise ArithmeticFaultError(f"the result is {given}, declared is integer", 0, len(text))
    elif result not in {Kind.INTEGER, Kind.NUMBER} and part.unit is not result:
        raise ArithmeticFaultError(f"the result is {_unit(part)}, declared is {result.value}", 0, len(text))
    elif result is Kind.NUMBER and part.unit is not Kind.NUMBER:
        raise ArithmeticFaultError(f"the result is {_unit(part)}, declared is number", 0, len(text))
    return Expression(part.text, tuple(program), ValueType(result))


def _unit(part: _Part) -> str:
    return {Kind.NUMBER: "a plain number", Kind.MONEY: "money", Kind.DURATION: "a duration"}[part.unit]
