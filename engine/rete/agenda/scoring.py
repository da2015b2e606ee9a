"""Scores: asked once in an evaluation, only where the answer decides, and what stands in for one that did not come."""

from __future__ import annotations

from collections.abc import Mapping

from engine.activation import FactReader, ScoreAnswer, ScoreFunction, ScoreStatus
from engine.language.tree import IfUnavailable, ScoreTest
from engine.rete.conditions.truth import passes_score
from engine.rete.memory.memory import Memory
from engine.values import EpochMs, Truth


class Asking:
    """The scores of one evaluation of one session.

    A score can't look at what rules conclude: it is unknown to it, since rules with scores may assert it.

    Attributes:
        answers: What was asked, in order, with the answers.
        is_worth_it: Whether the cheaper conditions of a rule left it to a score.
    """

    __slots__ = ("_memory", "_now", "_numbers", "_reader", "_remembers", "_score", "_truths", "answers", "is_worth_it")

    def __init__(
        self,
        score: ScoreFunction,
        reader: FactReader,
        memory: Memory,
        now: EpochMs,
        numbers: Mapping[ScoreTest, int],
        *,
        remembers: bool,
    ) -> None:
        """Without `remembers`, for a request, hysteresis and last known answers are read but left as they are."""
        self._score = score
        self._reader = reader
        self._memory = memory
        self._now = now
        self._numbers = numbers
        self._remembers = remembers
        self._truths: dict[ScoreTest, Truth] = {}
        self.answers: dict[str, ScoreAnswer] = {}
        self.is_worth_it = False

    def truth(self, test: ScoreTest) -> Truth:
        """The truth of a score test now."""
        if test not in self._truths:
            self._truths[test] = self._decide(test)
        return self._truths[test]

    def answer(self, name: str) -> ScoreAnswer:
        """The answer of a score; asked when it was not yet, unless the last answer still stands."""
        found = self.answers.get(name)
        if found is None and self._remembers and name in self._memory.fresh:
            value, _, version = self._memory.answers[name]
            return ScoreAnswer(ScoreStatus.OK, value, version)
        if found is None:
            try:
                found = self._score(name, self._reader)
            except Exception:  # noqa: BLE001 - a score function must not raise; if it does, `if_unavailable` answers
                found = ScoreAnswer(ScoreStatus.ERROR)
            if found.status is ScoreStatus.OK and found.value is None:
                found = ScoreAnswer(ScoreStatus.ERROR, None, found.model_version)
            self.answers[name] = found
            if self._remembers and found.status is ScoreStatus.OK and found.value is not None:
                self._memory.answers[name] = (found.value, self._now, found.model_version)
                self._memory.fresh |= {name}
        return found

    def _decide(self, test: ScoreTest) -> Truth:
        answer = self.answer(test.score)
        number = self._numbers.get(test, -1)
        latched = number in self._memory.latches
        if answer.status is ScoreStatus.OK and answer.value is not None:
            passes = passes_score(test, answer.value, latched=latched)
            if self._remembers and test.release is not None and passes != latched:
                memory, own = self._memory, {number}
                memory.latches = memory.latches | own if passes else memory.latches - own
            return passes
        if answer.status is ScoreStatus.PENDING or test.if_unavailable is IfUnavailable.SKIP:
            return None
        if test.if_unavailable is IfUnavailable.LAST_KNOWN:
            last = self._memory.answers.get(test.score)
            if last is None or self._now - last[1] >= (test.last_known or 0):
                return None
            return passes_score(test, last[0], latched=latched)
        return test.if_unavailable is IfUnavailable.ASSUME_TRUE
