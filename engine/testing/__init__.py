"""Tests beside the rules: run with a virtual clock over the real network, the real arbitration and limits in memory."""

from engine.testing.results import Check, TestResult
from engine.testing.run import run_test, run_tests
from engine.testing.weak import UntestedRule, WeakTest, untested_rules, weak_tests

__all__ = ["Check", "TestResult", "UntestedRule", "WeakTest", "run_test", "run_tests", "untested_rules", "weak_tests"]
