"""From a checked program to everything that a network is made of; the last stage of compilation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter

from engine.language.tree import Aggregation, Condition, FactRef, FactSource, IfUnavailable, Program, ScoreTest
from engine.rete.aggregates import AggregateNode
from engine.rete.alpha import AlphaType, build
from engine.rete.conflict import ConflictIndex
from engine.rete.derived import Stratum, strata
from engine.rete.normal_form import Literal, NormalForm, Shape
from engine.rete.production import Production, compile_rules
from engine.rete.quantity import Origin, Presence, Quantities, Quantity
from engine.rete.schedules import Gates
from engine.rete.windows import WindowNode, node_of
from engine.values import Millis, Value


@dataclass(frozen=True, slots=True)
class Clocked:
    """A quantity with tests against the clock: `ages` are lengths, or indices of quantities, negated less one."""

    index: int
    ages: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Compiled:
    """The parts of a network. None of them holds session state.

    Attributes:
        quantities: By index.
        defaults: Their defaults, by index.
        nodes: The aggregate node of each quantity over events.
        windows: Those over a sliding window.
        settable: Index of each fact that `set_facts` may set, by name.
        request: Index of each fact that a request's context may set, by name.
        computed: Computed features, what is read before what reads.
        computed_reads: All that they read directly.
        scanned: Quantities that are read from the retained events in each step, with what touches them.
        clocked: What is tested against the clock.
        scored: Productions with scores.
        score_numbers: A number for each score test.
        visible: What a model can see: all named facts and features that no rule concludes.
        last_known: Scores with the lengths for which their last answer may be used.
        gates: The schedules of all rules.
        assert_gates: Those of rules that assert.
        has_clock_moments: Whether the clock itself can change something, see `clockwork`.
        is_plain: Whether nothing follows from a change but rules: no computed or scanned feature, no derived fact, no
            score, no test against the clock.
        texts: Sentences of conditions, as reports have needed them.
    """

    program: Program
    quantities: Quantities
    defaults: tuple[Value | None, ...]
    nodes: dict[int, AggregateNode]
    windows: dict[int, WindowNode]
    alpha: dict[str, AlphaType]
    settable: dict[str, int]
    request: dict[str, int]
    computed: tuple[Quantity, ...]
    computed_reads: frozenset[int]
    scanned: tuple[Quantity, ...]
    clocked: tuple[Clocked, ...]
    productions: tuple[Production, ...]
    scored: tuple[Production, ...]
    score_numbers: dict[ScoreTest, int]
    visible: frozenset[int]
    last_known: tuple[tuple[str, Millis], ...]
    strata: tuple[Stratum, ...]
    gates: Gates
    assert_gates: Gates
    index: ConflictIndex
    keep_events: int
    has_clock_moments: bool
    is_plain: bool
    texts: dict[Condition, str]


def compile_program(program: Program) -> Compiled:
    """Compile a whole bundle. A rule that can't be compiled becomes a broken production; the others run."""
    vocabulary = program.vocabulary
    quantities = Quantities(vocabulary)
    productions = compile_rules(program.rules, quantities, NormalForm(quantities))
    every = quantities.all
    computed = tuple(sorted((each for each in every if each.origin is Origin.COMPUTED), key=attrgetter("index")))
    for production in productions:
        _time(production, every)
    nodes = {each.index: node_of(each, vocabulary.keep_events) for each in every if each.origin is Origin.EVENTS}
    shapes = {name: (name, *event.attributes) for name, event in vocabulary.events.items()}
    pairs = [
        (each.subject, nodes[each.index])
        for each in every
        if not isinstance(each.subject, FactRef) and each.index in nodes
    ]
    scored = tuple(each for each in productions if each.asking)
    tests = tuple(dict.fromkeys(test for each in scored for test in each.score_tests))
    sources = {name: fact.source for name, fact in vocabulary.facts.items()}
    given = (FactSource.PROFILE, FactSource.CATALOGUE)
    clocked, layers = _clocked(productions), strata(productions, every)
    assert_gates = Gates([each for each in productions if each.asserts])
    scanned = tuple(each for each in every if each.origin is Origin.SCANNED)
    last_known = tuple(
        dict.fromkeys(
            (test.score, test.last_known or 0) for test in tests if test.if_unavailable is IfUnavailable.LAST_KNOWN
        )
    )
    return Compiled(
        program=program,
        quantities=quantities,
        defaults=tuple(each.default for each in every),
        nodes=nodes,
        windows={index: node for index, node in nodes.items() if isinstance(node, WindowNode)},
        alpha=build(shapes, pairs),
        settable={name: quantities.by_name[name].index for name, source in sources.items() if source in given},
        request={
            name: quantities.by_name[name].index for name, source in sources.items() if source is FactSource.REQUEST
        },
        computed=computed,
        computed_reads=frozenset(index for each in computed for index in each.reads),
        scanned=scanned,
        clocked=clocked,
        productions=tuple(productions),
        scored=scored,
        score_numbers={test: number for number, test in enumerate(tests)},
        visible=frozenset(each.index for each in every if each.names and not each.is_concluded),
        last_known=last_known,
        strata=layers,
        gates=Gates(productions),
        assert_gates=assert_gates,
        index=ConflictIndex(productions, every),
        keep_events=vocabulary.keep_events,
        texts={},
        has_clock_moments=bool(clocked or assert_gates or last_known),
        is_plain=not (computed or scanned or layers or scored or clocked),
    )


def _time(production: Production, quantities: Sequence[Quantity]) -> None:
    """Mark the windows through which time alone can make the rule true, or change a fact that it asserts."""
    for literal in production.literals:
        if production.asserts or production.conjuncts[0].whole is not None or not _only_falls(literal, quantities):
            pending = list(literal.reads)
            while pending:
                quantity = quantities[pending.pop()]
                quantity.is_timed = True
                pending.extend(quantity.reads)


def _only_falls(literal: Literal, quantities: Sequence[Quantity]) -> bool:
    """Whether what leaves a window can only make the literal false: then nobody needs to look when it happens."""
    subject = quantities[literal.index].subject
    if len(literal.reads) > 1 or isinstance(subject, FactRef):
        return False
    if isinstance(subject, Presence):
        return literal.shape == Shape.IS and literal.operand == (True,)
    counts = subject.function is Aggregation.DISTINCT or (
        subject.function is Aggregation.COUNT and subject.minus is None
    )
    return counts and literal.shape == Shape.ABOVE


def _clocked(productions: Iterable[Production]) -> tuple[Clocked, ...]:
    ages: dict[int, dict[int, None]] = {}
    for production in productions:
        for literal in production.literals:
            if literal.age is not None:
                ages.setdefault(literal.index, {})[literal.age] = None
    return tuple(Clocked(index, tuple(found)) for index, found in ages.items())
