"""What a test beside the rules brought: what was expected, what came, and what it hung on."""

from __future__ import annotations

import msgspec


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One expectation, held against what came.

    Attributes:
        at: The moment, as written for people ("10:05:00").
        line: Where the expectation stands in the file, from 1.
        expected: What the test says.
        came: What came.
        why: Sentences that lead from the one to the other: the nearest failing conditions first.
        because: The reader's words beside the expectation.
    """

    at: str
    line: int
    passed: bool
    expected: str
    came: str
    why: tuple[str, ...] = ()
    because: str | None = None


class TestResult(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a test ended.

    Attributes:
        checks: In the order of their moments.
        problem: Why the test could not be run to its end, or None.
    """

    __test__ = False  # not a pytest class

    test: str
    ruleset: str
    file: str
    line: int
    checks: tuple[Check, ...]
    problem: str | None = None

    @property
    def passed(self) -> bool:
        """Whether all that is expected came."""
        return self.problem is None and all(check.passed for check in self.checks)
