"""Running a test beside the rules: its events and expectations along a virtual clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from zoneinfo import ZoneInfo

from engine.activation import FactReader, ScoreAnswer, ScoreStatus, Step
from engine.decision import PlacementDecision, Request
from engine.event import RawEvent
from engine.language.sentence import value_text
from engine.language.tree import (
    AssertAction,
    Expectation,
    FactSource,
    Program,
    Rule,
    RuleTest,
    TestEvent,
    TriggerAction,
)
from engine.offers import Grants, MemoryLimits, Person, caps_of_rule, claim_of_activation, decide
from engine.rete import Network, View
from engine.testing import explain
from engine.testing.results import Check, TestResult
from engine.values import EpochMs, Value
from engine.vocabulary import EventRefusedError, admit

SESSION = "session-of-the-test"


def run_tests(program: Program, network: Network) -> tuple[TestResult, ...]:
    """Run all tests of a bundle, in order; a failing one does not stop the others.

    A test tells what the rules say, a switch whether they act at the moment. So a test that fails while rules are
    switched off passes where it passes with all of them on: else nobody could switch off a rule that has tests.
    """
    results = tuple(run_test(program, network, test) for test in program.tests)
    if all(result.passed for result in results) or all(rule.enabled for rule in program.rules):
        return results
    awake = replace(program, rules=tuple(replace(rule, enabled=True) for rule in program.rules))
    all_on = Network.build(awake, previous=network)
    return tuple(
        _unless_asleep(result, awake, all_on, test) for result, test in zip(results, program.tests, strict=True)
    )


def _unless_asleep(result: TestResult, awake: Program, all_on: Network, test: RuleTest) -> TestResult:
    if result.passed:
        return result
    with_all_on = run_test(awake, all_on, test)
    return with_all_on if with_all_on.passed else result


def run_test(program: Program, network: Network, test: RuleTest) -> TestResult:
    """Run one test.

    Events are admitted as the API admits them, the clock moves from moment to moment, offers are decided with limits
    that begin empty, and nobody is held out. At one moment events come before expectations.

    Args:
        program: The checked bundle.
        network: Built from it.
        test: One of its tests, or any other that the vocabulary fits.
    """
    run = _Run(program, network, test)
    checks: list[Check] = []
    problem = None
    for moment in _moments(test):
        if isinstance(moment, Expectation):
            checks.append(run.check(moment))
            continue
        try:
            run.insert(moment)
        except EventRefusedError as refused:
            problem = f"the {moment.type} at {run.clock(moment.at)} is refused: {refused.message}"
            break
    place = test.place
    return TestResult(test.name, test.ruleset, place.file, place.line, tuple(checks), problem)


def _moments(test: RuleTest) -> list[TestEvent | Expectation]:
    """Events and expectations in order of time, events first within one moment, else as written."""
    moments: list[TestEvent | Expectation] = [*test.events, *test.expect]
    return sorted(moments, key=lambda moment: (moment.at, isinstance(moment, Expectation)))


class _Run:
    """The session of one test, as it stands at the moment reached."""

    def __init__(self, program: Program, network: Network, test: RuleTest) -> None:
        self._program = program
        self._network = network
        self._test = test
        self._limits = MemoryLimits()
        self._grants: Grants = {}
        self._decisions = 0
        self._events = 0
        self._acts = 0
        self._sent: list[tuple[EpochMs, str]] = []
        self._looked_at: dict[str, int] = {}
        self._held_back: dict[str, str] = {}
        self._failures: dict[str, str] = {}
        self._rules = {rule.id: rule for rule in program.rules}
        sources = {name: program.vocabulary.facts[name].source for name in test.facts}
        self._context = {name: test.facts[name] for name, source in sources.items() if source is FactSource.REQUEST}
        self._profile: Mapping[str, Value | None] = {
            name: test.facts[name] for name, source in sources.items() if source is FactSource.PROFILE
        }
        self._sessions = 0
        self._now: EpochMs = 0
        self._open(min((moment.at for moment in _moments(test)), default=0))

    def _open(self, now: EpochMs) -> None:
        self._sessions += 1
        name = SESSION if self._sessions == 1 else f"{SESSION}-{self._sessions}"
        self._person = Person(name, self._test.customer_id)
        self._memory = self._network.open(name, self._test.customer_id)
        self._last_event: EpochMs | None = None
        if self._profile:
            self._act(self._network.set_facts(self._memory, self._profile, now, self._score, self._look_up))

    def insert(self, event: TestEvent) -> None:
        """Let an event happen; raises `EventRefusedError`."""
        self._reach(event.at)
        self._events += 1
        raw = RawEvent(
            type=event.type,
            session_id=self._person.session_id,
            id=f"event-{self._events}",
            time=event.at,
            customer_id=self._test.customer_id,
            attributes=dict(event.attributes),
        )
        admitted = admit(self._program.vocabulary, raw, event.at)
        self._last_event = event.at
        self._act(self._network.insert(self._memory, admitted, self._score, self._look_up))

    def check(self, expectation: Expectation) -> Check:
        """Hold an expectation against what there is at its moment."""
        now = expectation.at
        self._reach(now)
        self._act(self._network.advance(self._memory, now, self._score, self._look_up))
        view = self._network.view(self._memory, now, self._context, self._score, self._look_up)
        findings = list(self._findings(expectation, view))
        failed = [finding for finding in findings if not finding.passed]
        # Of several things expected at one moment the first that did not come is told, else all that came.
        told = failed[:1] or findings
        return Check(
            at=self.clock(now),
            line=expectation.place.line,
            passed=not failed,
            expected=" and ".join(finding.expected for finding in told),
            came=" and ".join(finding.came for finding in told),
            why=tuple(sentence for finding in told for sentence in finding.why) if failed else (),
            because=expectation.because,
        )

    def clock(self, moment: EpochMs) -> str:
        """A moment as it is written in a test: the shop's time of day, with the date where a test has several days."""
        at = self._local(moment)
        text = at.strftime("%H:%M:%S") + (f".{at.microsecond // 1000:03d}" if at.microsecond else "")
        days = {self._local(each.at).date() for each in _moments(self._test)}
        return text if len(days) == 1 else f"{at:%Y-%m-%d} {text}"

    def _local(self, moment: EpochMs) -> dt.datetime:
        utc = dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(milliseconds=moment)
        return utc.astimezone(ZoneInfo(self._program.vocabulary.timezone))

    def _reach(self, now: EpochMs) -> None:
        """End the session where its time-out lies before this moment, and begin another."""
        self._now = now
        timeout = self._program.vocabulary.session_timeout
        if self._last_event is not None and now >= self._last_event + timeout:
            end = self._last_event + timeout
            self._act(self._network.advance(self._memory, end, self._score, self._look_up))
            self._grants = {}
            self._open(end)

    def _score(self, name: str, _reader: FactReader) -> ScoreAnswer:
        value = self._test.scores.get(name)
        for since, answer in self._test.later_scores.get(name, ()):
            if since <= self._now:
                value = answer
        if value is None:
            return ScoreAnswer(ScoreStatus.MISSING)
        return ScoreAnswer(ScoreStatus.OK, value, "test")

    def _look_up(self, fact: str, key: Value) -> Value | None:
        """What the test says of the catalogue."""
        return self._test.catalogue.get(fact, {}).get(key)

    def _act(self, step: Step) -> None:
        """Send what activations send, within the limits that span sessions; the session's own the network keeps."""
        self._failures.update((failure.rule, failure.error) for failure in step.failures)
        for activation in step.activations:
            if not activation.triggers:
                continue
            rule = self._rules[activation.rule]
            if not activation.acts:
                self._held_back[rule.id] = activation.held_back or "it may not act now"
                continue
            self._acts += 1
            refused_by = self._take(rule, activation.time)
            if refused_by is not None:
                self._held_back[rule.id] = refused_by
                continue
            self._sent.extend((activation.time, trigger.name) for trigger in activation.triggers)

    def _take(self, rule: Rule, now: EpochMs) -> str | None:
        """Take an act from the limits that span sessions; what refuses it, in words, or None."""
        claim = claim_of_activation(rule, self._person, f"trigger-{self._acts}", now)
        verdicts = self._limits.take([claim], 1, now, None) if claim is not None else ()
        named = {each.cap.key: each.words for each in caps_of_rule(rule, self._person, 0, now)}
        return next((named[verdict.refused_by] for verdict in verdicts if verdict.refused_by), None)

    def _findings(self, expectation: Expectation, view: View) -> Iterator[_Finding]:
        if expectation.placement is not None:
            yield self._offered(expectation.placement, expectation, view)
        for trigger, wanted in ((expectation.trigger, True), (expectation.no_trigger, False)):
            if trigger is not None:
                yield self._triggered(trigger, expectation, view, wanted=wanted)
        for name, value in expectation.facts.items():
            yield self._valued(name, value, expectation, view)

    def _offered(self, placement: str, expectation: Expectation, view: View) -> _Finding:
        """Decide a placement as the decision API does, and compare its first offer."""
        self._decisions += 1
        request = Request(
            self._person.session_id, self._person.customer_id, expectation.at, self._context, (placement,)
        )
        decision, self._grants = decide(
            self._program,
            view,
            request,
            decision_id=f"decision-{self._decisions}",
            score=self._score,
            limits=self._limits,
            grants=self._grants,
            profiling=self._test.profiling,
        )
        placed = decision.placements[0]
        shown = placed.offers[0] if placed.offers else None
        came = "nothing" if shown is None else shown.offer
        if shown is not None and shown.rule is None:
            came += ", the fallback"
        wanted = expectation.offer
        why: tuple[str, ...] = ()
        passed = wanted is None or (shown is not None and shown.offer == wanted)
        if passed and shown is not None and expectation.content:
            says = _unlike(expectation.content, shown.content)
            if says:
                return _Finding(passed=False, expected=f"{wanted} in {placement}", came=came, why=says)
        if not passed:
            rules = explain.nominating(self._program, placement, wanted)
            why = (*explain.lost_in(placed, wanted), *explain.why_not(view, rules), *explain.shown_by(placed))
        elif expectation.because is not None:
            why = self._misled(expectation.because, placed, view)
        return _Finding(
            passed=passed and not why,
            expected=f"{wanted or 'anything'} in {placement}",
            came=came,
            why=why + self._failed(),
        )

    def _misled(self, because: str, placed: PlacementDecision, view: View) -> tuple[str, ...]:
        """Why an outcome that is as expected is so for another reason than `because` says; nothing where it is not."""
        names = explain.named_in(because, self._program)
        if not names:
            return ()
        shown = placed.offers[0] if placed.offers else None
        if shown is not None and shown.rule is not None:
            unsaid = explain.unnamed(names, shown.reasons)
            reasons = "; ".join(reason.text for reason in shown.reasons)
            return tuple(f"{name} is not among the reasons: {reasons}" for name in unsaid)
        rules = [
            rule
            for rule in explain.nominating(self._program, placed.placement)
            if rule.ruleset == self._test.ruleset or not self._test.ruleset
        ]
        failing = [report for near in explain.nearest(view, rules) for report in near.failing]
        unsaid = explain.unnamed(names, failing)
        if not unsaid:
            return ()
        found = explain.lost_in(placed) + explain.why_not(view, rules)
        return (*(f"{name} is not what keeps a rule from showing its offer" for name in unsaid), *found)

    def _triggered(self, trigger: str, expectation: Expectation, view: View, *, wanted: bool) -> _Finding:
        """Look for a trigger since the expectation before that was about it."""
        since = self._looked_at.get(trigger, 0)
        times = [time for time, name in self._sent[since:] if name == trigger]
        self._looked_at[trigger] = len(self._sent)
        why: tuple[str, ...] = ()
        if wanted and not times:
            rules = _sending(self._program, trigger)
            held = tuple(
                f"{rule.id} was held back: {self._held_back[rule.id]}" for rule in rules if rule.id in self._held_back
            )
            why = held + explain.why_not(view, rules)
        return _Finding(
            passed=bool(times) is wanted,
            expected=f"trigger {trigger}" if wanted else f"no trigger {trigger}",
            came=f"{trigger} sent at {', '.join(map(self.clock, times))}" if times else "none sent",
            why=why + self._failed(),
        )

    def _valued(self, name: str, wanted: Value | None, expectation: Expectation, view: View) -> _Finding:
        value = view.fact(name)
        vocabulary = self._program.vocabulary
        fact = vocabulary.facts[name]
        why: tuple[str, ...] = ()
        if value != wanted and fact.source is FactSource.RULES:
            why = explain.why_not(view, _asserting(self._program, name))
        return _Finding(
            passed=value == wanted,
            expected=f"{name} is {value_text(wanted, fact.type, vocabulary)}",
            came=value_text(value, fact.type, vocabulary),
            why=why + self._failed(),
        )

    def _failed(self) -> tuple[str, ...]:
        """Rules that could not be evaluated."""
        return tuple(f"{rule} could not be evaluated: {error}" for rule, error in self._failures.items())


@dataclass(frozen=True, slots=True)
class _Finding:
    """One thing expected at a moment."""

    passed: bool
    expected: str
    came: str
    why: tuple[str, ...]


def _unlike(wanted: Mapping[str, object], content: object) -> tuple[str, ...]:
    """What the content says otherwise than expected."""
    said = content if isinstance(content, Mapping) else {}
    return tuple(
        f"{key} of its content is {said[key]!r}, expected {value!r}" if key in said else f"its content has no {key}"
        for key, value in wanted.items()
        if key not in said or said[key] != value
    )


def _sending(program: Program, trigger: str) -> tuple[Rule, ...]:
    return tuple(
        rule
        for rule in program.rules
        if any(isinstance(action, TriggerAction) and action.name == trigger for action in rule.actions)
    )


def _asserting(program: Program, fact: str) -> tuple[Rule, ...]:
    return tuple(
        rule
        for rule in program.rules
        if any(isinstance(action, AssertAction) and action.fact == fact for action in rule.actions)
    )
