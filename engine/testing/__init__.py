"""Tests beside the rules: run with a virtual clock over the real network, the real arbitration and limits in memory."""

from engine.testing.examination import Examination, Unnoticed, WeakTest, examine, weak_tests
from engine.testing.results import Check, TestResult
from engine.testing.run import run_test, run_tests

__all__ = [
    "Check",
    "Examination",
    "TestResult",
    "Unnoticed",
    "WeakTest",
    "examine",
    "run_test",
    "run_tests",
    "weak_tests",
]
