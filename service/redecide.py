"""Decide again: make a logged decision anew from what it was made of, to prove it, or by other rules, to compare.

The inputs are in the decision log: the session as it was stored, events, profile, grants, what models and the limit
store answered. Bundle and models are found by their hashes. The same inputs and the same bundle give the same bytes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

import msgspec

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.bundle import Bundle, BundleError, Revision
from engine.decision import Decision, Request
from engine.offers import claims, conclude, fall_back
from engine.ports import DecisionLog, SessionView, Verdict
from models.features import Vector
from models.scorer import Scorer
from service.api.evaluation import Evaluation, evaluate, lacking
from service.api.handed import Asked, Session, Terms
from service.api.inputs import Basis, Inputs, decode_inputs, encode_decision
from service.api.rules import Rules
from service.api.timing import Timing
from service.control import Control
from service.loading import BundleRefusedError, Loaded, load
from service.things import Lookup

DRAFT = 0
"""The revision of a decision by rules that were never published."""


class RedecideError(Exception):
    """A decision that can't be made again; the message says what is not there any more."""


@dataclass(frozen=True, slots=True)
class Redecided:
    """A decision made again.

    Attributes:
        logged: The bytes in the log.
        again: The bytes that came of the same inputs.
        before: As logged.
        after: As made again.
        made_of: What it was made of, in words.
        remarks: What is not exactly as it was then: a model that is gone or answers otherwise, limits not asked then.
    """

    logged: bytes
    again: bytes
    before: Decision
    after: Decision
    made_of: tuple[str, ...]
    remarks: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether it is the same, byte for byte."""
        return self.logged == self.again


class Redecider:
    """Makes decisions again.

    Args:
        decisions: The decision log.
        control: Bundles and revisions.
        registry: Folder of the model registry.
        salt: Of the installation's holdouts.
    """

    def __init__(self, decisions: DecisionLog, control: Control, registry: Path, salt: str) -> None:
        self._decisions = decisions
        self._control = control
        self._registry = registry
        self._salt = salt

    def prove(self, decision_id: str) -> Redecided:
        """Make a decision again by the bundle that it names; raises `RedecideError`, `PortError`."""
        raw, logged = self._logged(decision_id)
        revision = Revision(logged.revision, logged.bundle, "", logged.time, "")
        return self._again(raw, logged, self._load(revision, self._bundle(logged.bundle)))

    def compare(self, decision_id: str, sources: Mapping[str, str]) -> Redecided:
        """Make it of the same inputs by other rules, with the same models; raises as `prove`."""
        raw, logged = self._logged(decision_id)
        draft = Bundle(dict(sources), self._bundle(logged.bundle).pins)
        return self._again(raw, logged, self._load(Revision(DRAFT, draft.hash, "", logged.time, ""), draft))

    # -------------------------------------------------------------- what is kept

    def _logged(self, decision_id: str) -> tuple[bytes, Decision]:
        raw = self._decisions.get(decision_id)
        if raw is None:
            raise RedecideError(f"no decision {decision_id[:60]!r} is kept")
        try:
            return raw, msgspec.json.decode(raw, type=Decision)
        except msgspec.MsgspecError:
            raise RedecideError(f"{decision_id[:60]!r} is no decision, or one of another version of Salience") from None

    def _inputs(self, decision: Decision) -> tuple[Inputs, Basis, str] | None:
        """What a decision was made of, and the id under which it was evaluated; None for a fallback."""
        inputs = self._read_inputs(decision.id)
        if inputs is None:
            if decision.degraded:
                return None
            raise RedecideError(f"what decision {decision.id} was made of is not kept (any more)")
        if isinstance(inputs.basis, Basis):
            return inputs, inputs.basis, decision.id
        first = self._read_inputs(inputs.basis)
        if first is None or not isinstance(first.basis, Basis):
            raise RedecideError(f"it was made of the evaluation of decision {inputs.basis}, which is not kept any more")
        return inputs, first.basis, inputs.basis

    def _read_inputs(self, decision_id: str) -> Inputs | None:
        raw = self._decisions.inputs(decision_id)
        if raw is None:
            return None
        try:
            return decode_inputs(raw)
        except msgspec.MsgspecError as error:
            raise RedecideError(f"what decision {decision_id} was made of can't be read: {error}") from None

    def _bundle(self, bundle_hash: str) -> Bundle:
        try:
            return self._control.bundle(bundle_hash)
        except (KeyError, BundleError) as error:
            raise RedecideError(f"its bundle {bundle_hash[:12]} is not in the tables or damaged: {error}") from None

    def _load(self, revision: Revision, bundle: Bundle) -> Loaded:
        try:
            return load(revision, bundle, self._control.ancestry(), self._registry)
        except BundleRefusedError as refused:
            raise RedecideError(f"the rules can't be loaded: {refused}") from None

    # -------------------------------------------------------------- making it again

    def _again(self, raw: bytes, logged: Decision, loaded: Loaded) -> Redecided:
        placements = [placed.placement for placed in logged.placements]
        declared = loaded.program.vocabulary.placements
        remarks = [f"the rules declare no placement {name}" for name in placements if name not in declared]
        names = tuple(name for name in placements if name in declared)
        kept = self._inputs(logged)
        if kept is None:
            request = Request(logged.session_id, logged.customer_id, logged.time, logged.context, names)
            after = fall_back(
                loaded.program,
                request,
                decision_id=logged.id,
                revision=loaded.revision.number,
                bundle=loaded.revision.bundle,
                degraded=logged.degraded,
            )
            made_of = ("the fallbacks: nothing was known of the session",)
            return Redecided(raw, encode_decision(after), logged, after, made_of, tuple(remarks))
        inputs, basis, evaluated_as = kept
        request = Request(logged.session_id, logged.customer_id, basis.time, logged.context, names)
        after = self._decide(logged, loaded, request, inputs, basis, evaluated_as, remarks)
        return Redecided(raw, encode_decision(after), logged, after, _words(inputs, basis), tuple(remarks))

    def _decide(
        self,
        logged: Decision,
        loaded: Loaded,
        request: Request,
        inputs: Inputs,
        basis: Basis,
        evaluated_as: str,
        remarks: list[str],
    ) -> Decision:
        vocabulary = loaded.program.vocabulary
        unknown_events = {event.type for event in basis.events} - vocabulary.events.keys()
        unknown_facts = (basis.profile.keys() | request.context.keys()) - vocabulary.facts.keys()
        remarks += (f"the rules declare no event {each}: it is left out" for each in sorted(unknown_events))
        remarks += (f"the rules declare no fact {each}: it is left out" for each in sorted(unknown_facts))
        events = tuple(event for event in basis.events if event.type in vocabulary.events)
        profile = {name: value for name, value in basis.profile.items() if name in vocabulary.facts}
        scorer = _LoggedScorer(loaded.scorer, basis.scores, remarks)
        rules = Rules.of(replace(loaded, scorer=cast("Scorer", scorer)))
        session = Session(
            logged.customer_id,
            basis.snapshot,
            profile,
            basis.grants,
            SessionView(None, None, {}),
            degraded=basis.degraded,
        )
        asked = Asked(request, events, basis.profiling)
        terms = Terms(basis.person, self._salt if basis.draws else None, basis.holdout)

        things = Lookup(rules.things, 0)
        things.used.update(basis.things)
        if basis.without_things:
            things.give_up(basis.without_things)

        async def ask(wanting: Evaluation) -> None:
            remarks.extend(f"{each} was not looked up then: unknown" for each in sorted(wanting.things.wanted))
            wanting.things.give({})
            scores = wanting.scores
            scores.give({name: scorer.ask(name, [vector])[0] for name, vector in scores.wanted.items()})

        try:
            considered, evaluation = asyncio.run(
                evaluate(rules, session, asked, evaluated_as, terms, things, ask, Timing())
            )
        except (KeyError, TypeError) as error:
            raise RedecideError(f"these rules can't read what it was made of: {error!r}") from error
        verdicts = list(inputs.verdicts)
        while asks := claims(considered, verdicts):
            for each in asks:
                remarks += (
                    f"the limits of {claim.token} were not asked then: taken as granted" for claim in each.claims
                )
                verdicts += (Verdict(claim.token, granted=True) for claim in each.claims)
        missing = (*evaluation.degraded, *lacking(considered, things), *inputs.missing)
        revision = loaded.revision
        made = conclude(considered, verdicts, revision=revision.number, bundle=revision.bundle, degraded=missing)
        if evaluated_as == logged.id:
            return made
        return msgspec.structs.replace(made, id=logged.id, time=logged.time, evaluated_at=logged.evaluated_at)


class _LoggedScorer:
    """Answers as the models answered then, and says where they would not any more.

    The answers are inputs of the decision: a deadline that was missed can't be missed again on purpose.
    """

    def __init__(self, scorer: Scorer, logged: Mapping[str, ScoreAnswer], remarks: list[str]) -> None:
        self._scorer = scorer
        self._logged = logged
        self._remarks = remarks

    def read(self, score: str, reader: FactReader) -> Vector | ScoreAnswer:
        asked = self._scorer.read(score, reader)
        known = self._logged.get(score)
        if known is None or not isinstance(asked, ScoreAnswer):
            return asked
        if known.status is ScoreStatus.OK:
            self._remarks.append(f"the model of score {score} is not here: its answer of then is not checked")
        return known

    def ask(self, score: str, vectors: Sequence[Vector]) -> list[ScoreAnswer]:
        known = self._logged.get(score)
        if known is not None and known.status is not ScoreStatus.OK:
            return [known] * len(vectors)
        now = self._scorer.ask(score, vectors)
        if known is None:
            self._remarks.append(f"score {score} was not asked then: the model answers now")
            return now
        if now[0] != known:
            self._remarks.append(f"the model of score {score} answers {now[0].value}, and answered {known.value} then")
        return [known] * len(vectors)


def _words(inputs: Inputs, basis: Basis) -> tuple[str, ...]:
    known = f"a state of {len(basis.snapshot):,} bytes" if basis.snapshot is not None else "no state of the session"
    scores = (
        f"score {name} {answer.status if answer.value is None else f'{answer.value:.4f}'}"
        for name, answer in basis.scores.items()
    )
    return (
        known,
        f"{len(basis.events)} events after it",
        f"{sum(value is not None for value in basis.profile.values())} facts of the customer",
        *scores,
        f"{len(inputs.verdicts)} answers of the limit store",
    )
