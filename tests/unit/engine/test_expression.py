"""Arithmetic: exact for money, unknown where it has no answer."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.expression import compiled, evaluate
from engine.language.arithmetic import ArithmeticFaultError, parse_arithmetic
from engine.language.tree import Expression
from engine.units import LARGEST
from engine.values import Kind, Value, ValueType

TYPES = {
    "price": Kind.MONEY,
    "shipping": Kind.MONEY,
    "quantity": Kind.INTEGER,
    "rate": Kind.NUMBER,
    "wait": Kind.DURATION,
    "name": Kind.TEXT,
}


def parsed(text: str, result: Kind = Kind.MONEY) -> Expression:
    return parse_arithmetic(text, result, lambda name: ValueType(TYPES[name]) if name in TYPES else None, 2)


def value(text: str, result: Kind = Kind.MONEY, **values: Value) -> Value | None:
    expression = parsed(text, result)
    answer = evaluate(expression, values.get)
    assert compiled(expression)(values) == answer
    return answer


@pytest.mark.parametrize("text", ["rate / -4", "rate * -1", "-rate"])
def test_zero_has_no_sign(text: str) -> None:
    """-0.0 equals 0.0, but a model or a report would tell them apart."""
    assert repr(value(text, Kind.NUMBER, rate=0.0)) == "0.0"


def test_money_is_exact() -> None:
    assert value("quantity * price", quantity=3, price=3579) == 10737
    assert value("price * 0.15", price=1050) == 158  # 157.5, half to even
    assert value("price * 0.15", price=1030) == 154  # 154.5, half to even
    assert value("price * rate", price=100, rate=0.1) == 10
    assert value("price / 3", price=100) == 33
    assert value("(price - shipping) * 2", price=1000, shipping=490) == 1020
    assert value("-price", price=5) == -5


def test_a_constant_beside_money_is_in_major_units() -> None:
    assert value("price + 4.90", price=100) == 590
    assert value("2 - price", price=50) == 150


def test_a_number_made_of_money_is_in_major_units() -> None:
    assert value("price / quantity", Kind.NUMBER, price=1000, quantity=4) == 2.5
    assert value("price / shipping", Kind.NUMBER, price=1000, shipping=400) == 2.5


def test_precedence_and_canonical_text() -> None:
    expression = parsed("1+quantity*2-(3- 4 )/rate", Kind.NUMBER)
    assert expression.text == "1 + quantity * 2 - (3 - 4) / rate"
    assert evaluate(expression, {"quantity": 5, "rate": 0.5}.get) == 13.0


def test_unknown_where_there_is_no_answer() -> None:
    assert value("quantity * price", quantity=3) is None
    assert value("price / quantity", price=1, quantity=0) is None
    assert value("price / rate", price=1, rate=0.0) is None
    assert value("quantity / rate", Kind.NUMBER, quantity=1, rate=0.0) is None
    assert value("quantity / rate", Kind.NUMBER, quantity=1, rate=5e-324) is None
    assert value("quantity * quantity", Kind.INTEGER, quantity=LARGEST) is None
    assert value("wait - wait * 2", Kind.DURATION, wait=5) is None


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("price * price", Kind.MONEY),
        ("price + quantity", Kind.MONEY),
        ("quantity / price", Kind.NUMBER),
        ("quantity * 2", Kind.MONEY),
        ("price", Kind.INTEGER),
        ("quantity / 2", Kind.INTEGER),
        ("wait", Kind.NUMBER),
        ("name * 2", Kind.NUMBER),
        ("nothing * 2", Kind.NUMBER),
        ("price + 4.999", Kind.MONEY),
        ("quantity +", Kind.INTEGER),
        ("quantity quantity", Kind.INTEGER),
        ("(quantity", Kind.INTEGER),
        ("quantity ^ 2", Kind.INTEGER),
        ("2 * 3", Kind.INTEGER),
        ("", Kind.INTEGER),
        ("(" * 50 + "quantity" + ")" * 50, Kind.INTEGER),
        ("-" * 50 + "quantity", Kind.INTEGER),
        ("quantity" + " + quantity" * 100, Kind.INTEGER),
    ],
)
def test_what_has_no_meaning_is_refused(text: str, result: Kind) -> None:
    with pytest.raises(ArithmeticFaultError):
        parsed(text, result)


@given(st.text(alphabet="qpr+-*/() .0123456789\t", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        expression = parse_arithmetic(text, Kind.NUMBER, lambda name: ValueType(Kind.INTEGER), 2)
    except ArithmeticFaultError as fault:
        assert 0 <= fault.offset <= len(text)  # noqa: PT017 - both ways are right, and this one has a place
    else:
        again = parse_arithmetic(expression.text, Kind.NUMBER, lambda name: ValueType(Kind.INTEGER), 2)
        assert again.program == expression.program
