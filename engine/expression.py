"""Arithmetic of the vocabulary: evaluates the postfix programs that the checker makes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from fractions import Fraction

from engine.language.tree import Expression
from engine.units import LARGEST
from engine.values import Kind, Value


def evaluate(expression: Expression, reader: Callable[[str], Value | None]) -> Value | None:
    """The value of an expression; None (unknown) where it has none.

    Money, durations and integers are computed exactly (a float counts as the decimal that it is written as) and
    rounded half to even at the end, once. Unknown are: anything with an unknown operand, a division by zero, a
    negative duration, a result beyond `engine.units.LARGEST`, and a number that is not finite.

    Args:
        expression: Checked, so that its operands are numeric.
        reader: Gives the value of each name that it uses, None for unknown.
    """
    if expression.type.kind is Kind.NUMBER:
        return _approximate(expression, reader)
    return _exact(expression, reader)


def compiled(expression: Expression) -> Callable[[Mapping[str, Value]], Value | None]:
    """The same as a function of a mapping of names to values, fast for the common `quantity * price`."""
    program = expression.program
    if [kind for kind, _ in program] != ["name", "name", "op"] or program[2][1] != "*":
        return lambda values: evaluate(expression, values.get)
    left, right = str(program[0][1]), str(program[1][1])
    is_exact = expression.type.kind in {Kind.INTEGER, Kind.MONEY}

    def product(values: Mapping[str, Value]) -> Value | None:
        first, second = values.get(left), values.get(right)
        if is_exact and type(first) is int and type(second) is int:
            result = first * second
            return result if -LARGEST <= result <= LARGEST else None
        return evaluate(expression, values.get)

    return product


def _exact(expression: Expression, reader: Callable[[str], Value | None]) -> Value | None:
    stack: list[int | Fraction] = []
    for kind, item in expression.program:
        if kind == "op":
            right, left = stack.pop(), stack.pop()
            if item == "+":
                stack.append(left + right)
            elif item == "-":
                stack.append(left - right)
            elif item == "*":
                stack.append(left * right)
            elif right == 0:
                return None
            else:
                stack.append(Fraction(left) / Fraction(right))
            continue
        value = reader(str(item)) if kind == "name" else item
        if value is None:
            return None
        if isinstance(value, float):
            if not math.isfinite(value):
                return None
            stack.append(Fraction(repr(value)))
        else:
            assert isinstance(value, int)  # the checker admits numeric operands only
            stack.append(value)
    result = round(stack.pop())
    if not -LARGEST <= result <= LARGEST or (result < 0 and expression.type.kind is Kind.DURATION):
        return None
    return result


def _approximate(expression: Expression, reader: Callable[[str], Value | None]) -> Value | None:
    stack: list[float] = []
    try:
        for kind, item in expression.program:
            if kind == "op":
                right, left = stack.pop(), stack.pop()
                if item == "+":
                    stack.append(left + right)
                elif item == "-":
                    stack.append(left - right)
                elif item == "*":
                    stack.append(left * right)
                elif right == 0:
                    return None
                else:
                    stack.append(left / right)
                continue
            value = reader(str(item)) if kind == "name" else item
            if value is None:
                return None
            assert isinstance(value, int | float)  # the checker admits numeric operands only
            stack.append(value)
        result = float(stack.pop())
    except OverflowError:
        return None
    # Zero has no sign: -0.0 is equal to it, so that the one would stay where the other came, and is told otherwise.
    return result + 0.0 if math.isfinite(result) else None
