"""Plays a case in the network and in the naive evaluator, and notes what comes of it as `expected.yaml` writes it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from engine.activation import FactReader, ScoreAnswer, ScoreStatus, Step
from engine.event import Event, RawEvent
from engine.language.tree import FactRef, FactSource, Program
from engine.rete import Network
from engine.values import Value
from engine.vocabulary import admit, read_facts
from tests.conformance.cases import BEGIN, happenings, program_of
from tests.naive.evaluator import Act, Naive

SPECIAL = {"facts", "clock", "request", "answers", "catalogue", "reload"}


class Playing:
    """A case as it goes on: everything but the evaluation."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.program = program_of(name)
        self.answers: dict[str, float | str] = {}
        self.catalogue: dict[str, dict[Value, Value]] = {}
        self.acts: list[dict[str, Any]] = []
        self.requests: list[dict[str, Any]] = []

    def play(self) -> None:
        for number, happening in enumerate(happenings(self.name)):
            now = BEGIN + happening.get("at", 0)
            (kind,) = happening.keys() - {"at"}
            what = happening[kind]
            if kind == "answers":
                self.answers |= what
            elif kind == "catalogue":
                self.catalogue = what
            elif kind == "reload":
                self.program = program_of(self.name, what)
                self.reload(self.program)
            elif kind == "request":
                self.requests.append(self.request(now, self._typed(FactSource.REQUEST, what or {})))
            elif kind == "clock":
                self.advance(now)
            elif kind == "facts":
                unknown = {fact: None for fact, value in what.items() if value is None}
                self.set_facts({**self._typed(FactSource.PROFILE, what), **unknown}, now)
            else:
                raw = RawEvent(type=kind, session_id="s", id=str(number), time=now, attributes=what or {})
                self.insert(admit(self.program.vocabulary, raw, now))
            self.stepped()

    def _typed(self, source: FactSource, raw: Mapping[str, object]) -> dict[str, Value]:
        values, refused = read_facts(self.program.vocabulary, source, raw)
        assert not refused, refused
        return values

    def score(self, name: str, _reader: FactReader) -> ScoreAnswer:
        answer = self.answers.get(name, "missing")
        return (
            ScoreAnswer(ScoreStatus(answer)) if isinstance(answer, str) else ScoreAnswer(ScoreStatus.OK, answer, "v1")
        )

    def look_up(self, fact: str, key: Value) -> Value | None:
        return self.catalogue.get(fact, {}).get(key)

    # To be said by each evaluator.
    def insert(self, event: Event) -> None: ...
    def set_facts(self, facts: Mapping[str, Value | None], now: int) -> None: ...
    def advance(self, now: int) -> None: ...
    def reload(self, program: Program) -> None: ...
    def stepped(self) -> None: ...
    def request(self, now: int, context: Mapping[str, Value]) -> dict[str, Any]:
        raise NotImplementedError


class InNetwork(Playing):
    """Through the network; `restoring` stores and reads the session after everything that happens."""

    def __init__(self, name: str, *, restoring: bool) -> None:
        super().__init__(name)
        self.restoring = restoring
        self.bundle = 0
        self.network = Network.build(self.program, "0")
        self.memory = self.network.open("s")

    def insert(self, event: Event) -> None:
        self._note(self.network.insert(self.memory, event, self.score, self.look_up))

    def set_facts(self, facts: Mapping[str, Value | None], now: int) -> None:
        self._note(self.network.set_facts(self.memory, facts, now, self.score, self.look_up))

    def advance(self, now: int) -> None:
        self._note(self.network.advance(self.memory, now, self.score, self.look_up))

    def reload(self, program: Program) -> None:
        raw = self.network.snapshot(self.memory)
        self.bundle += 1
        self.network = Network.build(program, str(self.bundle), {self.network.bundle_hash: self.network.rule_digests})
        self.memory = self.network.restore(raw)

    def stepped(self) -> None:
        if self.restoring:
            self.memory = self.network.restore(self.network.snapshot(self.memory))

    def _note(self, step: Step) -> None:
        self.acts += [
            {
                "at": each.time - BEGIN,
                "rule": each.rule.rpartition(".")[2],
                "with": dict(each.bindings),
                "held_back": each.held_back,
                "sends": [message.payload for message in each.triggers],
            }
            for each in step.activations
        ]

    def request(self, now: int, context: Mapping[str, Value]) -> dict[str, Any]:
        view = self.network.view(self.memory, now, context, self.score, self.look_up)
        until = view.valid_until()
        truths = {rule.name: view.truth(rule.when) for rule in self.program.rules}
        for rule in self.program.rules:
            report = view.explain(rule)
            assert report.truth is truths[rule.name]
            assert bool(report.failing) is (report.truth is not True), report
        return {
            "holds": [
                {"rule": rule.name, "with": dict(bound.bindings)}
                for rule in view.holding()
                for bound in view.combinations(rule)
            ],
            "fails": [name for name, truth in truths.items() if truth is False],
            "unknown": [name for name, truth in truths.items() if truth is None],
            "until": None if until is None else until - BEGIN,
            "values": view.fact,
        }


class InNaive(Playing):
    """Through the naive evaluator."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.naive = Naive(self.program, self.look_up)

    def insert(self, event: Event) -> None:
        self._note(self.naive.insert(event, self.score))

    def set_facts(self, facts: Mapping[str, Value | None], now: int) -> None:
        self._note(self.naive.set_facts(facts, now, self.score))

    def advance(self, now: int) -> None:
        self._note(self.naive.advance(now, self.score))

    def reload(self, program: Program) -> None:
        self.naive.reload(program)

    def _note(self, acts: list[Act]) -> None:
        self.acts += [
            {
                "at": each.time - BEGIN,
                "rule": each.rule.rpartition(".")[2],
                "with": dict(each.bindings),
                "held_back": each.held_back,
                "sends": [ast.literal_eval(payload) for _, payload in each.messages],
            }
            for each in acts
        ]

    def request(self, now: int, context: Mapping[str, Value]) -> dict[str, Any]:
        state, truth = self.naive.look(now, context, self.score)
        truths = {rule.name: self.naive.truth(rule.when, state, truth) for rule in self.program.rules}
        return {
            "holds": [
                {"rule": rule.rpartition(".")[2], "with": dict(bindings)}
                for rule, bindings in self.naive.holding(now, context, self.score)
            ],
            "fails": [name for name, each in truths.items() if each is False],
            "unknown": [name for name, each in truths.items() if each is None],
            "values": lambda name: self.naive.value(FactRef(name), state),
        }
