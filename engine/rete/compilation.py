"""From a checked program to everything that a network is made of; the last stage of compilation."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from operator import attrgetter
from typing import Any

from engine.language.tree import (
    Aggregate,
    Aggregation,
    AttributeTest,
    Condition,
    FactRef,
    FactSource,
    IfUnavailable,
    Program,
    ScoreTest,
    Vocabulary,
)
from engine.rete.agenda.conflict import ConflictIndex
from engine.rete.agenda.derived import Stratum, strata
from engine.rete.agenda.production import Production, compile_rules
from engine.rete.agenda.schedules import Gates
from engine.rete.alpha.aggregates import AggregateNode
from engine.rete.alpha.network import AlphaType, Feed, build
from engine.rete.alpha.windows import WindowNode, node_of
from engine.rete.beta.arrival import Arrival
from engine.rete.beta.pattern import Pattern
from engine.rete.beta.pattern_compiler import compile_pattern
from engine.rete.beta.selector import Numbering
from engine.rete.conditions.joining import joined_in, network_form
from engine.rete.conditions.literals import Literal, Shape
from engine.rete.conditions.normal_form import NormalForm
from engine.rete.conditions.quantity import Origin, Quantities, Quantity
from engine.rete.conditions.subjects import Joined, Presence
from engine.rete.conditions.telling import Plans
from engine.rete.memory.retained import Packing
from engine.values import Millis, Value

NUMBERS = count()


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
        productions: By their index, those of rules that a network before this one had, too.
        acting: The productions of the rules, in order of acting.
        ranks: The place of each production in this order, where that is not its index.
        last_known: Scores with the lengths for which their last answer may be used.
        gates: The schedules of all rules.
        assert_gates: Those of rules that assert.
        has_clock_moments: Whether the clock itself can change something, see `clockwork`.
        is_plain: Whether nothing follows from a change but rules: no computed or scanned feature, no derived fact, no
            score, no test against the clock.
        texts: Sentences of conditions, as reports have needed them.
        plans: How the conditions of rules are told, as reports have needed them.
        eligible: Conditions of offers.
        patterns: Joined conditions, by the index of their quantity.
        readers: By quantity, the patterns that look at it.
        joined_rules: By pattern, the productions that act for each of its combinations.
        offered: The patterns at which no rule looks, only an offer: when one changes, that is no step.
        eligible_patterns: The patterns that these look at.
        numbering: Of the alpha memories of patterns.
        forms: Conditions of rules that the network runs in another form.
        plain: The other conditions of rules, by their id.
        branching: Productions with several patterns: a score stands beside what is bound, and either will do.
        number: No other network of this process has it.
        lineage: Of networks that were amended from one another: an index means the same in all of them.
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
    acting: tuple[Production, ...]
    ranks: tuple[int, ...] | None
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
    plans: Plans
    eligible: tuple[Condition, ...]
    patterns: dict[int, Pattern]
    readers: dict[int, tuple[int, ...]]
    joined_rules: dict[int, tuple[int, ...]]
    offered: frozenset[int]
    eligible_patterns: frozenset[int]
    numbering: Numbering
    forms: Forms
    plain: frozenset[int]
    branching: tuple[Production, ...]
    number: int
    lineage: Any

    def in_order(self, indices: Iterable[int]) -> list[int]:
        """Productions in order of acting."""
        return sorted(indices) if self.ranks is None else sorted(indices, key=self.ranks.__getitem__)


def compile_program(program: Program) -> Compiled:
    """Compile a whole bundle. A rule that can't be compiled becomes a broken production; the others run."""
    vocabulary = program.vocabulary
    quantities = Quantities(vocabulary)
    productions = compile_rules(program, quantities, NormalForm(quantities))
    eligible = tuple(offer.eligible for offer in program.offers.values() if offer.eligible is not None)
    eligible_patterns = frozenset(index for condition in eligible for index in _registered(condition, quantities))
    every = quantities.all
    computed = tuple(sorted((each for each in every if each.origin is Origin.COMPUTED), key=attrgetter("index")))
    joined = [each for each in every if each.origin is Origin.JOINED]
    for index in timed_by_patterns(joined, every).union(*(timed_by(production, every) for production in productions)):
        every[index].is_timed = True
    numbering = Numbering()
    patterns = {}
    for each in joined:
        try:
            patterns[each.index] = compile_pattern(each, quantities, numbering)
        except Exception as problem:  # noqa: BLE001 - the rules that look at it are reported by name, the others run
            for production in productions:
                if each.index in production.reads:
                    production.broken = f"{type(problem).__name__}: {problem}"
    nodes = {each.index: node_of(each, vocabulary.keep_events) for each in every if each.origin is Origin.EVENTS}
    shapes = {name: (name, *event.attributes) for name, event in vocabulary.events.items()}
    pairs = [
        (each.subject, nodes[each.index])
        for each in every
        if isinstance(each.subject, Aggregate | Presence) and each.index in nodes
    ]
    scored = tuple(each for each in productions if each.asking)
    tests = tuple(dict.fromkeys(test for each in scored for test in each.score_tests))
    sources = {name: fact.source for name, fact in vocabulary.facts.items()}
    given = (FactSource.PROFILE, FactSource.CATALOGUE)
    clocked, layers = clocked_in(productions), strata(productions, every)
    assert_gates = Gates([each for each in productions if each.asserts])
    scanned = tuple(each for each in every if each.origin is Origin.SCANNED)
    last_known = tuple(
        dict.fromkeys(
            (test.score, test.last_known or 0) for test in tests if test.if_unavailable is IfUnavailable.LAST_KNOWN
        )
    )
    alpha = build(shapes, pairs)
    readers = by_key((index, each.index) for each in joined for index in each.reads)
    for name, found in connected(patterns.values(), numbering).items():
        alpha.setdefault(name, AlphaType(Packing((name,)))).joined = found
    defaults = tuple(each.default for each in every)
    return Compiled(
        program=program,
        quantities=quantities,
        defaults=defaults,
        nodes=nodes,
        windows={index: node for index, node in nodes.items() if isinstance(node, WindowNode)},
        alpha=alpha,
        settable={name: quantities.by_name[name].index for name, source in sources.items() if source in given},
        request={
            name: quantities.by_name[name].index for name, source in sources.items() if source is FactSource.REQUEST
        },
        computed=computed,
        computed_reads=frozenset(index for each in computed for index in each.reads),
        scanned=scanned,
        clocked=clocked,
        productions=tuple(productions),
        acting=tuple(productions),
        ranks=None,
        scored=scored,
        score_numbers={test: number for number, test in enumerate(tests)},
        visible=frozenset(each.index for each in every if each.names and not each.is_concluded),
        last_known=last_known,
        strata=layers,
        gates=Gates(productions),
        assert_gates=assert_gates,
        index=ConflictIndex(productions, every, defaults),
        keep_events=vocabulary.keep_events,
        texts={},
        plans=Plans(vocabulary),
        eligible=eligible,
        patterns=patterns,
        readers=readers,
        forms=Forms(productions),
        plain=plain_in(productions),
        branching=tuple(each for each in productions if len(each.patterns) > 1),
        joined_rules=by_key((index, each.index) for each in productions for index in each.patterns),
        offered=frozenset(each.index for each in joined).difference(readers, *(each.reads for each in productions)),
        eligible_patterns=eligible_patterns,
        numbering=numbering,
        has_clock_moments=bool(clocked or assert_gates or last_known),
        is_plain=not (computed or scanned or layers or scored or clocked),
        number=next(NUMBERS),
        lineage=object(),
    )


def timed_by(production: Production, quantities: Sequence[Quantity]) -> set[int]:
    """The quantities through which time alone can make the rule true, or change a fact that it asserts."""
    found: list[int] = []
    is_whole = any(each.whole is not None for each in production.conjuncts)
    for literal in production.literals:
        if production.asserts or is_whole or not _only_falls(literal, quantities):
            found += literal.reads
    return _with_what_they_read(found, quantities)


def timed_by_patterns(joined: Iterable[Quantity], quantities: Sequence[Quantity]) -> set[int]:
    """The quantities through which time alone can touch the combinations of a pattern."""
    return _with_what_they_read((index for each in joined for index in each.reads), quantities)


def _with_what_they_read(indices: Iterable[int], quantities: Sequence[Quantity]) -> set[int]:
    found: set[int] = set()
    pending = list(indices)
    while pending:
        index = pending.pop()
        if index not in found:
            found.add(index)
            pending.extend(quantities[index].reads)
    return found


def _only_falls(literal: Literal, quantities: Sequence[Quantity]) -> bool:
    """Whether what leaves a window can only make the literal false: then nobody needs to look when it happens."""
    subject = quantities[literal.index].subject
    if len(literal.reads) > 1 or isinstance(subject, FactRef):
        return False
    if isinstance(subject, Presence | Joined):
        return literal.shape == Shape.IS and literal.operand == (True,)
    counts = subject.function is Aggregation.DISTINCT or (
        subject.function is Aggregation.COUNT and subject.minus is None
    )
    return counts and literal.shape == Shape.ABOVE


def clocked_in(productions: Iterable[Production]) -> tuple[Clocked, ...]:
    """What productions test against the clock."""
    ages: dict[int, dict[int, None]] = {}
    for production in productions:
        for literal in production.literals:
            if literal.age is not None:
                ages.setdefault(literal.index, {})[literal.age] = None
    return tuple(Clocked(index, tuple(found)) for index, found in ages.items())


def patterns_apart(subject: Joined, vocabulary: Vocabulary) -> tuple[Pattern, dict[str, AlphaType], Quantities]:
    """A pattern on its own, with the alpha network that leads to it and the quantities that it looks at."""
    quantities, numbering = Quantities(vocabulary), Numbering()
    quantity = quantities.of(subject)
    pattern = compile_pattern(quantity, quantities, numbering)
    alpha = {name: AlphaType(Packing((name, *event.attributes))) for name, event in vocabulary.events.items()}
    for name, found in connected([pattern], numbering).items():
        alpha.setdefault(name, AlphaType(Packing((name,)))).joined = found
    return pattern, alpha, quantities


class Forms:
    """Conditions of rules that the network runs in another form: by their id and, for equal ones of others, themselves.

    Rules with equal conditions differ in what they use of what these bind, and so in their forms.
    """

    def __init__(self, productions: Iterable[Production], former: Forms | None = None) -> None:
        """`former`: others, of which those that are no rule's any more do no harm."""
        # A condition is kept beside its form, so that its id stays its own.
        self.pairs: dict[int, tuple[Condition, Condition]] = {} if former is None else former.pairs.copy()
        self.pairs |= {id(each.rule.when): (each.rule.when, each.form) for each in productions if each.form is not None}
        self._by_condition: dict[Condition, Condition] | None = None  # until somebody asks: each has to be hashed

    def of(self, condition: Condition) -> Condition | None:
        """The form of a rule's condition; None for any other."""
        found = self.pairs.get(id(condition))
        if found is not None:
            return found[1]
        if not self.pairs:
            return None
        if self._by_condition is None:
            self._by_condition = dict(self.pairs.values())
        return self._by_condition.get(condition)


def plain_in(productions: Iterable[Production]) -> frozenset[int]:
    """The conditions of rules in which nothing is bound, by their id."""
    return frozenset(id(each.rule.when) for each in productions if each.form is None and each.broken is None)


def _registered(condition: Condition, quantities: Quantities) -> list[int]:
    """Let the network keep what is joined in a condition that no rule has."""
    found = []
    try:
        for subject in joined_in(network_form(condition)):
            found.append(quantities.of(subject).index)  # noqa: PERF401 - those before one that raises stay
    except Exception:  # noqa: BLE001, S110 - a view that looks at the condition says what is wrong with it
        pass
    return found


def connected(patterns: Iterable[Pattern], numbering: Numbering) -> dict[str, AlphaType]:
    """By the type of the event, what leads it to the alpha memories of the patterns that it matters to."""
    feeds: dict[str, dict[tuple[AttributeTest, ...], list[Feed]]] = {}
    for pattern in patterns:
        for number, roles in pattern.roles.items():
            event, where, required = numbering.selections[number]
            arrival = Arrival(pattern.index, number, required, tuple(roles))
            feeds.setdefault(event, {}).setdefault(where, []).append(Feed(arrival, None, 1, None))
    made = {event: AlphaType(Packing((event,))) for event in feeds}
    for event, kind in made.items():
        kind.settle(feeds[event])
    return made


def by_key(pairs: Iterable[tuple[int, int]]) -> dict[int, tuple[int, ...]]:
    """The values of each key, each once and in order."""
    found: dict[int, dict[int, None]] = {}
    for key, value in pairs:
        found.setdefault(key, {})[value] = None
    return {key: tuple(values) for key, values in found.items()}
