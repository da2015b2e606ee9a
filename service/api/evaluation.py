"""One session at one moment, evaluated until no model has anything to add."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.decision import Degradation
from engine.offers import Considered, consider
from engine.rete import Memory, SnapshotError, View
from models.scorer import Collector
from service.api.deadline import RESERVE, Deadline, UnavailableError
from service.api.handed import Asked, Session, Terms
from service.api.rules import Rules
from service.api.services import Services
from service.api.timing import Timing
from service.things import Lookup

log = logging.getLogger("salience.api.evaluation")

PASSES = 4
"""Evaluations of one decision: an answer of a model may bring up the next model. Who needs more gets no answer from it."""


class Evaluation:
    """One session at one moment, evaluated again for as long as models or the catalogue have something to add.

    Attributes:
        scores: What models were asked and answered; what is `wanted` is to be asked before the next evaluation.
        things: What was looked up in the catalogue; likewise.
        is_last: What is not known now will not be: it counts as not answered in time.
    """

    def __init__(
        self,
        rules: Rules,
        session: Session,
        asked: Asked,
        things: Lookup,
        known: Mapping[str, ScoreAnswer] | None = None,
    ) -> None:
        self._rules = rules
        self._session = session
        self._asked = asked
        self._memory: Memory | None = None
        self.scores = Collector(rules.loaded.scorer, known)
        self.things = things
        self.is_last = False
        self.degraded = session.degraded

    @property
    def is_wanting(self) -> bool:
        """Whether something is to be asked before the next evaluation."""
        return bool(self.scores.wanted or self.things.wanted)

    def score(self, name: str, reader: FactReader) -> ScoreAnswer:
        """The `ScoreFunction` of the evaluation."""
        answer = self.scores(name, reader)
        return _TOO_LATE if self.is_last and answer.status is ScoreStatus.PENDING else answer

    def view(self) -> View:
        """The view as of the answers known now. Once the memory needed no answer, only the view is made anew."""
        network, request = self._rules.loaded.network, self._asked.request
        memory = self._memory
        if memory is None:
            memory = self._open(is_as_stored=not (self._session.profile or self._asked.events))
            if self._session.profile:
                network.set_facts(memory, self._session.profile, request.now, self.score, self.things)
            for event in self._asked.events:
                network.insert(memory, event, self.score, self.things)
            if not self.is_wanting:
                self._memory = memory
        return network.view(memory, request.now, request.context, self.score, self.things)

    def _open(self, *, is_as_stored: bool) -> Memory:
        """The session's memory before its profile and events; one that stays as stored is shared with other requests."""
        network, request = self._rules.loaded.network, self._asked.request
        snapshot = self._session.snapshot
        if snapshot is None:
            self._rules.memories.drop(request.session_id)
        else:
            try:
                if is_as_stored:
                    memory = self._rules.memories.of(request.session_id, snapshot)
                else:
                    memory = network.restore(snapshot)
            except SnapshotError as error:
                log.warning("state of session %r can't be read: %s", request.session_id, error)
                self.degraded = (
                    Degradation("state_unreadable", "The session's state can't be read; decided without."),
                )
            else:
                first = min((event.time for event in self._asked.events), default=request.now)
                if not memory.has_ended(first, self._rules.loaded.program.vocabulary.session_timeout):
                    return memory
        return network.open(request.session_id, self._session.customer_id)


Asking: TypeAlias = Callable[[Evaluation], Awaitable[None]]
"""Gives the answers to all that is wanted."""


async def evaluate(
    rules: Rules,
    session: Session,
    asked: Asked,
    decision_id: str,
    terms: Terms,
    things: Lookup,
    ask: Asking,
    timing: Timing,
    known: Mapping[str, ScoreAnswer] | None = None,
) -> tuple[Considered, Evaluation]:
    """Everything of a decision that needs no limit store.

    Args:
        rules: The revision that decides.
        session: The session.
        asked: The request.
        decision_id: Unique.
        terms: For whom, and who is held out.
        things: Looks things of the catalogue up.
        ask: Asks the models and the catalogue.
        timing: Is told where the time goes.
        known: Answers that no model is asked for.
    """
    evaluation = Evaluation(rules, session, asked, things, known)
    for passes_left in reversed(range(PASSES)):
        evaluation.is_last = passes_left == 0
        considered = consider(
            rules.loaded.program,
            evaluation.view(),
            asked.request,
            decision_id=decision_id,
            score=evaluation.score,
            grants=session.grants,
            salt=terms.salt,
            profiling=asked.profiling,
            person=terms.person,
            holdout=terms.holdout,
        )
        timing.mark("rules")
        if evaluation.is_last or not evaluation.is_wanting:
            break
        await ask(evaluation)
        timing.mark("scores")
    if things.used or things.failure:
        considered = replace(considered, looked_up=True)
    return considered, evaluation


def lacking(considered: Considered, things: Lookup) -> tuple[Degradation, ...]:
    """Models that did not answer, a catalogue that could not be asked, and rules that failed."""
    silent = (
        Degradation("model_unavailable", f"Score {name} was not answered: {answer.status}.")
        for name, answer in considered.scores
        if answer.status is not ScoreStatus.OK
    )
    failed = (
        Degradation("rule_failed", f"Rule {failure.rule} failed; the others were decided.")
        for failure in considered.view.failures
    )
    return (*silent, *_without_things(things), *failed)


def _without_things(things: Lookup) -> tuple[Degradation, ...]:
    if things.failure is None and not things.wanted:
        return ()
    why = things.failure or "it was asked too often"
    return (Degradation("catalogue_unavailable", f"Facts of things are unknown: {why}."),)


async def ask_wanted(
    services: Services, rules: Rules, evaluation: Evaluation, deadline: Deadline
) -> Mapping[str, ScoreAnswer]:
    """Ask for all that an evaluation wants, models and the catalogue at once; what the models answered."""
    _, answers = await asyncio.gather(
        _ask_things(services, evaluation.things, deadline), ask_models(services, rules, evaluation.scores, deadline)
    )
    return answers


async def _ask_things(services: Services, things: Lookup, deadline: Deadline) -> None:
    if not things.wanted:
        return
    coming: Coroutine[Any, Any, Mapping[str, bytes]] = services.state.things(sorted(things.wanted))
    try:
        things.give(await deadline.call(services.state_breaker, coming, RESERVE * deadline.ours_ms / 1000))
    except UnavailableError as error:
        things.give_up(str(error))


async def ask_models(
    services: Services, rules: Rules, scores: Collector, deadline: Deadline
) -> Mapping[str, ScoreAnswer]:
    """Ask for all that is wanted, each model within its own deadline and all within the request's."""
    declared = rules.loaded.program.vocabulary.scores
    within = {
        name: min(declared[name].deadline, services.score_ms) / 1000 if name in declared else services.score_ms / 1000
        for name in scores.wanted
    }
    left = max(0.0, deadline.left_s - RESERVE * deadline.ours_ms / 1000)
    answers = await services.batcher.ask(rules.loaded.scorer, scores.wanted, within, left)
    scores.give(answers)
    return answers


_TOO_LATE = ScoreAnswer(ScoreStatus.DEADLINE)
