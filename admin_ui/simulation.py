"""Simulation: one session, typed or real, decided by live and by the draft, with the clock where somebody sets it.

It runs the same network and the same arbitration as the shop. Limits begin empty, nobody is held out, and nothing that
happens here is stored, counted or sent.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from admin_ui.backend import StoredSession
from engine.activation import Catalogue, FactReader, RuleReport, ScoreAnswer, ScoreFunction, ScoreStatus, Step
from engine.decision import Decision, Request
from engine.event import RawEvent
from engine.language import check
from engine.language.tree import FactSource, Program, Rule, Vocabulary
from engine.offers import MemoryLimits, decide
from engine.rete import Memory, Network, SnapshotError
from engine.values import EpochMs, Kind, Value
from engine.vocabulary import EventRefusedError, admit, read_facts

SESSION = "simulated-session"
_FILE = "typed-events.yaml"
_COMMON = ("vocabulary.yaml", "offers.yaml", "segments.yaml")


class SimulationError(ValueError):
    """What was typed can't be simulated; one plain sentence for each mistake."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What is to be simulated.

    Attributes:
        stored: A real session to begin with; None begins with an empty one.
        events: What happens (then), in order of time.
        customer_id: Of an empty session.
        profile: What is known of the customer, JSON.
        facts: Profile facts that differ from that, and the request's context: JSON values by name.
        scores: Answers to take in place of the models': None stands for a model that does not answer.
        now: The moment of the request.
    """

    stored: StoredSession | None
    events: tuple[RawEvent, ...]
    customer_id: str | None
    facts: Mapping[str, object]
    scores: Mapping[str, float | None]
    now: EpochMs
    profile: bytes | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one bundle makes of a scenario.

    Attributes:
        decision: All placements.
        reports: Each rule with its conditions, in order of acting.
        triggers: Messages that would have been sent, with their moments.
        remarks: What is special: a session that had ended, a fact that did not fit.
    """

    program: Program
    decision: Decision
    reports: tuple[RuleReport, ...]
    triggers: tuple[tuple[EpochMs, str], ...] = ()
    remarks: tuple[str, ...] = ()

    def rule(self, rule_id: str) -> Rule | None:
        """A rule of this bundle."""
        return next((rule for rule in self.program.rules if rule.id == rule_id), None)


@dataclass(slots=True)
class _Run:
    """A session while it plays."""

    program: Program
    network: Network
    score: ScoreFunction
    catalogue: Catalogue
    memory: Memory
    customer_id: str | None
    last_event: EpochMs | None
    triggers: list[tuple[EpochMs, str]] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def take(self, step: Step) -> None:
        """Keep what would have been sent."""
        for activation in step.activations:
            if activation.acts:
                self.triggers.extend((activation.time, trigger.name) for trigger in activation.triggers)

    def reach(self, now: EpochMs) -> None:
        """End the session where its time-out lies before this moment."""
        timeout = self.program.vocabulary.session_timeout
        if self.last_event is not None and now >= self.last_event + timeout:
            self.take(self.network.advance(self.memory, self.last_event + timeout, self.score, self.catalogue))
            self.memory = self.network.open(SESSION, self.customer_id)
            self.last_event = None
            self.remarks.append(
                "No event came for longer than a session lasts, so the session ended and a new one began."
            )


def simulate(
    program: Program, network: Network, scenario: Scenario, models: ScoreFunction, catalogue: Catalogue
) -> Outcome:
    """Play a scenario.

    Raises:
        SimulationError: An event is refused by this bundle's vocabulary, or the stored session can't be read by it.
    """
    score = _with_typed(scenario.scores, models)
    run = _begin(program, network, scenario, score, catalogue)
    profile, refused = _profile(program.vocabulary, scenario)
    context, refused_context = _facts(program.vocabulary, scenario.facts, FactSource.REQUEST)
    run.remarks += [*refused, *refused_context]
    begins = min([scenario.now, *(_time(event) for event in scenario.events)])
    if profile:
        run.take(network.set_facts(run.memory, profile, max(begins, run.memory.clock or 0), score, catalogue))
    for event in scenario.events:
        moment = _time(event)
        run.reach(moment)
        try:
            admitted = admit(program.vocabulary, event, moment)
        except EventRefusedError as error:
            raise SimulationError([f"The event {event.type} is refused: {error.message}."]) from None
        run.take(network.insert(run.memory, admitted, score, catalogue))
        run.last_event = moment
    run.reach(scenario.now)
    run.take(network.advance(run.memory, max(scenario.now, run.memory.clock or 0), score, catalogue))
    view = network.view(run.memory, scenario.now, context, score, catalogue)
    request = Request(
        run.memory.session_id, run.customer_id, scenario.now, context, tuple(program.vocabulary.placements)
    )
    decision, _ = decide(program, view, request, decision_id="simulated", score=score, limits=MemoryLimits())
    reports = tuple(view.explain(rule) for rule in program.rules)
    return Outcome(program, decision, reports, tuple(run.triggers), tuple(run.remarks))


def _begin(program: Program, network: Network, scenario: Scenario, score: ScoreFunction, catalogue: Catalogue) -> _Run:
    stored = scenario.stored
    if stored is None:
        memory = network.open(SESSION, scenario.customer_id)
        return _Run(program, network, score, catalogue, memory, scenario.customer_id, None)
    try:
        memory = network.restore(stored.snapshot)
    except SnapshotError as error:
        raise SimulationError([f"The session {stored.id} can't be read: {error}"]) from None
    return _Run(program, network, score, catalogue, memory, stored.customer_id, memory.last_event)


def _with_typed(typed: Mapping[str, float | None], models: ScoreFunction) -> ScoreFunction:
    def answer(name: str, reader: FactReader) -> ScoreAnswer:
        if name not in typed:
            return models(name, reader)
        value = typed[name]
        return ScoreAnswer(ScoreStatus.MISSING) if value is None else ScoreAnswer(ScoreStatus.OK, value, "typed")

    return answer


def _profile(vocabulary: Vocabulary, scenario: Scenario) -> tuple[dict[str, Value | None], tuple[str, ...]]:
    """What is known of the customer, with what was typed in its place."""
    typed, refused = _facts(vocabulary, scenario.facts, FactSource.PROFILE)
    if scenario.profile is None and not _is_known(scenario):
        return dict(typed), refused
    return {**profile_facts(vocabulary, scenario.profile), **typed}, refused


def _is_known(scenario: Scenario) -> bool:
    """Whether a real session has a customer, of whom it may know what is no longer so."""
    return scenario.stored is not None and scenario.stored.customer_id is not None


def profile_facts(vocabulary: Vocabulary, profile: bytes | None) -> dict[str, Value | None]:
    """What the worker and the API give a session of a known customer: every fact of a profile, None where it has no value.

    The profile as it is now, not as it was when the session began.
    """
    facts: dict[str, Value | None] = {
        each.name: None for each in vocabulary.facts.values() if each.source is FactSource.PROFILE
    }
    known = None if profile is None else msgspec.json.decode(profile)
    values, _ = read_facts(vocabulary, FactSource.PROFILE, known if isinstance(known, dict) else {})
    return {**facts, **values}


def _facts(
    vocabulary: Vocabulary, raw: Mapping[str, object], source: FactSource
) -> tuple[dict[str, Value], tuple[str, ...]]:
    """The facts of one source; those of other sources are left out, what does not fit is named."""
    mine = {
        name: value
        for name, value in raw.items()
        if name in vocabulary.facts and vocabulary.facts[name].source is source
    }
    values, refused = read_facts(vocabulary, source, mine)
    return values, tuple(f"{each.message}; it is taken as unknown." for each in refused)


def _time(event: RawEvent) -> EpochMs:
    assert isinstance(event.time, int)
    return event.time


# ------------------------------------------------------------------ reading what people typed


def read_events(text: str, sources: Mapping[str, str], day: dt.date, now: EpochMs) -> tuple[RawEvent, ...]:
    """Events as in the tests beside rules (one `- {at: 10:00:00, cart_added: {...}}` a line), or as JSON of the API.

    Args:
        text: What was typed; nothing gives no events.
        sources: Files with the vocabulary that the events must fit.
        day: The day, on the shop's clock, of times that have none.
        now: The time of JSON events that have none.

    Raises:
        SimulationError: With every mistake that was found.
    """
    if not text.strip():
        return ()
    if text.lstrip()[0] in "[{" and not text.lstrip().startswith("{at"):
        return _json_events(text, now)
    return _test_events(text, sources, day)


def _json_events(text: str, now: EpochMs) -> tuple[RawEvent, ...]:
    try:
        read = json.loads(text)
        raw = msgspec.convert(read if isinstance(read, list) else [read], type=list[_Typed])
    except (json.JSONDecodeError, msgspec.ValidationError) as error:
        raise SimulationError([f"This is no list of events in JSON: {error}"]) from None
    events = []
    for index, each in enumerate(raw):
        time = each.time
        if isinstance(time, str):
            try:
                moment = dt.datetime.fromisoformat(time)
            except ValueError:
                raise SimulationError([f"{time} is no time; write 2026-11-23T10:00:00Z or milliseconds."]) from None
            time = int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() * 1000)
        events.append(RawEvent(each.type, SESSION, f"typed-{index}", time or now, each.customer_id, each.attributes))
    return tuple(sorted(events, key=_time))


class _Typed(msgspec.Struct):
    """An event in JSON; session and id need not be given here."""

    type: str
    time: int | str | None = None
    customer_id: str | None = None
    attributes: dict[str, object] = {}
    session_id: str | None = None
    id: str | None = None


def _test_events(text: str, sources: Mapping[str, str], day: dt.date) -> tuple[RawEvent, ...]:
    """Read by the language's own reader: a test is written around the lines, so that they mean what they mean there."""
    vocabulary = check({path: sources[path] for path in _COMMON if path in sources}).program
    if vocabulary is None or not vocabulary.vocabulary.placements:
        raise SimulationError(
            ["The vocabulary of the draft has mistakes. Correct it first, or write the events as JSON."]
        )
    placement = next(iter(vocabulary.vocabulary.placements.values()))
    lines = [
        line if line.lstrip().startswith(("-", "#")) or not line.strip() else f"- {line}" for line in text.split("\n")
    ]
    head = ["ruleset: typed_events", "tests:", "  - test: typed", f"    date: {day.isoformat()}", "    events:"]
    tail = ["    expect:", f"      - {{at: 23:59:59, placement: {placement.name}, offer: {placement.fallback}}}"]
    source = "\n".join([*head, *(f"      {line.strip()}" for line in lines), *tail, ""])
    common = {path: sources[path] for path in _COMMON if path in sources}
    checked = check({**common, _FILE: source})
    found = [each for each in checked.diagnostics if each.place.file == _FILE and each.severity == "error"]
    if found or checked.program is None:
        problems = []
        for each in found:
            line = each.place.line - len(head)
            proposal = f" ({each.proposal})" if each.proposal else ""
            problems.append(f"Line {min(max(line, 1), len(lines))}: {each.message}{proposal}")
        raise SimulationError(problems or ["The vocabulary of the draft has mistakes. Correct it first."])
    (test,) = [each for each in checked.program.tests if each.ruleset == "typed_events"]
    ordered = sorted(test.events, key=lambda event: event.at)
    return tuple(
        RawEvent(each.type, SESSION, f"typed-{index}", each.at, None, dict(each.attributes))
        for index, each in enumerate(ordered)
    )


def read_fact(text: str, vocabulary: Vocabulary, name: str) -> object:
    """What was typed for a fact, as the JSON value that the API would get."""
    kind = vocabulary.facts[name].type.kind
    if kind is Kind.BOOLEAN:
        return text == "true"
    if kind is Kind.LIST:
        return [item.strip() for item in text.split(",") if item.strip()]
    if kind in {Kind.INTEGER, Kind.NUMBER}:
        try:
            return int(text) if kind is Kind.INTEGER else float(text)
        except ValueError:
            return text
    return text
