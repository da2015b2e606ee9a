"""A network that differs from another in a few rules: the other, amended.

The indices of an amended network mean what they meant, so that the memory of a session goes on in it as it is: a rule
that is new has an index behind all others, wherever it acts, and that of a rule that is gone stays empty. What the
changed rules lead to is made; all else is shared. An index over the changed rules stands beside the one over all: what
the large one says of a rule that changed is left out. With many changes, the network is made from nothing again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from engine.language.tree import Aggregate, Program, Rule
from engine.rete.agenda.amended import AmendedIndex, Base
from engine.rete.agenda.derived import strata
from engine.rete.agenda.production import Production, compile_rule
from engine.rete.agenda.schedules import Gates
from engine.rete.alpha.aggregates import AggregateNode
from engine.rete.alpha.amended import AmendedType
from engine.rete.alpha.network import AlphaType, build
from engine.rete.alpha.windows import WindowNode, node_of
from engine.rete.beta.pattern_compiler import compile_pattern
from engine.rete.compilation import (
    NUMBERS,
    Compiled,
    Forms,
    by_key,
    clocked_in,
    connected,
    plain_in,
    timed_by,
    timed_by_patterns,
)
from engine.rete.conditions.normal_form import NormalForm
from engine.rete.conditions.quantity import Origin, Quantities, Quantity, events_of
from engine.rete.conditions.subjects import Presence
from engine.rete.memory.retained import Packing

_T = TypeVar("_T")

MOST_CHANGED = 64
"""Rules that are amended; so many are looked through in the time in which a network of 100 is made."""


def amended(program: Program, former: Compiled) -> Compiled | None:
    """The network of a program, from that of one like it; None where it has to be made from nothing."""
    before = former.program
    if (
        program.vocabulary is not before.vocabulary
        or program.segments != before.segments
        or program.offers is not before.offers
    ):
        return None
    return _Amendment(former, program).compiled()


class _Amendment:
    """How a network becomes the next.

    Attributes:
        acting: The productions in order of acting.
        own: Those that were made for rules that changed or are new.
        olds: What they were, and those that are gone.
    """

    def __init__(self, former: Compiled, program: Program) -> None:
        self.former = former
        self.program = program
        self.quantities = Quantities(former.program.vocabulary, former.quantities)
        self.productions = list(former.productions)
        self.acting: list[Production] = []
        self.own: list[Production] = []
        self.olds: list[Production] = []

    def _follow(self) -> bool:
        """Bring the productions to what the rules are now. False where more changed than is amended."""
        productions, rules = self.productions, self.program.rules
        acting, before = self.former.acting, self.former.program.rules
        # Most are what and where they were, before those that changed and behind them.
        first = _alike(rules, before)
        last = _alike(rules[first:][::-1], before[first:][::-1])
        end = len(acting) - last
        self.acting += acting[:first]
        olds = {each.rule.id: each for each in acting[first:end]}
        normal_form = NormalForm(self.quantities)
        for rule in rules[first : len(rules) - last]:
            old = olds.pop(rule.id, None)
            if old is not None and rule is old.rule:
                made = old
            elif old is not None and _means_the_same(rule, old.rule):
                made = replace(old, rule=rule)
                productions[old.index] = made
            else:
                index = len(productions) if old is None else old.index
                made = compile_rule(index, rule, self.program, self.quantities, normal_form)
                self.own.append(made)
                if old is None:
                    productions.append(made)
                else:
                    productions[index] = made
                    self.olds.append(old)
                if len(self.own) > MOST_CHANGED:
                    return False
            self.acting.append(made)
        self.acting += acting[end:]
        for old in olds.values():
            productions[old.index] = Production(old.index, old.rule)  # it never holds, and looks at nothing
            self.olds.append(old)
        return len(self.olds) <= MOST_CHANGED

    def _ranks(self) -> tuple[int, ...] | None:
        """The place of each production in order of acting, below 0 for one that is gone; None where it is the index."""
        order = [each.index for each in self.acting]
        if order == list(range(len(self.productions))):
            return None
        ranks = [-1] * len(self.productions)
        for rank, index in enumerate(order):
            ranks[index] = rank
        return tuple(ranks)

    def compiled(self) -> Compiled | None:
        """With the rules that are not the same object as before."""
        former, productions = self.former, self.productions
        if not self._follow():
            return None
        own, olds, acting = self.own, self.olds, tuple(self.acting)
        either = [*own, *olds]
        asks = former.scored or any(each.asking for each in own)
        scored = tuple(each for each in acting if each.asking) if asks else ()
        if any(each.broken is not None for each in either) or not self._scores_are_kept(scored):
            return None
        changed = frozenset(each.index for each in either)
        ranks = self._ranks()
        none: frozenset[int] = frozenset()
        known = former.index.base if isinstance(former.index, AmendedIndex) else Base(former.index, none, none)
        were = known.reads.union(*(each.reads for each in olds))
        base = Base(known.index, known.changed.union(changed), were)
        every = self.quantities.all
        added = every[len(former.defaults) :]
        joined = [each for each in added if each.origin is Origin.JOINED]
        gone = self._gone(changed, joined)
        if len(base.changed) > MOST_CHANGED or not self._times_are_kept(changed, gone, joined):
            return None
        numbering = former.numbering.copy() if joined else former.numbering
        try:
            more = {each.index: compile_pattern(each, self.quantities, numbering) for each in joined}
        except Exception:  # noqa: BLE001 - a network that is made from nothing names the rules that can't be run
            return None
        patterns = _without(former.patterns, gone) | more
        readers = self._readers(gone, joined)
        joined_rules = self._joined_rules(gone)
        offered = self._offered(changed, more.keys(), readers).intersection(patterns)
        self.quantities.forget(gone)
        fresh = {each.index: node_of(each, former.keep_events) for each in added if each.origin is Origin.EVENTS}
        nodes = _without(former.nodes, gone) | fresh
        windows = {index: node for index, node in fresh.items() if isinstance(node, WindowNode)}
        clocked = clocked_in(acting) if any(_is_clocked(each) for each in either) else former.clocked
        asserts = former.strata or any(each.asserts for each in own)
        layers = strata(acting, every) if asserts else former.strata
        branches = former.branching or any(len(each.patterns) > 1 for each in own)
        has_gates = any(each.rule.schedule is not None for each in either)
        assert_gates = Gates([each for each in acting if each.asserts]) if has_gates else former.assert_gates
        scanned = tuple(each for each in (*former.scanned, *added) if each.index not in gone and _is_scanned(each))
        defaults = (*former.defaults, *(each.default for each in added))
        computed = former.computed
        return replace(
            former,
            number=next(NUMBERS),
            program=self.program,
            quantities=self.quantities,
            defaults=defaults,
            nodes=nodes,
            windows=_without(former.windows, gone) | windows,
            alpha=self._joined_alpha(self._alpha(gone, added, nodes), gone, connected(more.values(), numbering)),
            scanned=scanned,
            clocked=clocked,
            productions=tuple(productions),
            acting=acting,
            ranks=ranks,
            scored=scored,
            strata=layers,
            gates=Gates(acting) if has_gates else former.gates,
            assert_gates=assert_gates,
            index=AmendedIndex(base, productions, every, defaults, _identity if ranks is None else ranks.__getitem__),
            plans=former.plans.for_another(),
            patterns=patterns,
            readers=readers,
            joined_rules=joined_rules,
            offered=offered,
            numbering=numbering,
            forms=Forms(own, former.forms) if any(each.form is not None for each in own) else former.forms,
            plain=former.plain.difference(id(each.rule.when) for each in olds).union(plain_in(own)),
            branching=tuple(each for each in acting if len(each.patterns) > 1) if branches else (),
            has_clock_moments=bool(clocked or assert_gates or former.last_known),
            is_plain=not (computed or scanned or layers or scored or clocked),
        )

    def _scores_are_kept(self, scored: Sequence[Production]) -> bool:
        """Whether the rules ask the same of models as they did: there are tables over all of it."""
        if not any(each.asking for each in (*self.own, *self.olds)):
            return True
        return {test for each in scored for test in each.score_tests} == self.former.score_numbers.keys()

    def _times_are_kept(self, changed: Collection[int], gone: Collection[int], joined: Iterable[Quantity]) -> bool:
        """Whether the same of the former quantities are timed, all rules considered: their nodes are shared."""
        size = len(self.former.defaults)
        every = self.quantities.all
        wanted = timed_by_patterns(joined, every).union(*(timed_by(each, every) for each in self.own))
        if any(not every[index].is_timed for index in wanted if index < size):
            return False
        for index in wanted:
            every[index].is_timed = True
        left = timed_by_patterns((every[index] for index in gone), every)
        were = left.union(*(timed_by(each, every) for each in self.olds)).difference(wanted, gone)
        return all(self._is_timed_by_others(index, changed, gone) for index in were)

    def _is_timed_by_others(self, index: int, changed: Collection[int], gone: Collection[int]) -> bool:
        every, former = self.quantities.all, self.former
        return any(
            index in timed_by(self.productions[each], every)
            for each in former.index.readers(index)
            if each not in changed
        ) or self._is_timed_by_patterns(index, gone)

    def _is_timed_by_patterns(self, index: int, gone: Collection[int]) -> bool:
        former = self.former
        return any(each not in gone for each in former.readers.get(index, ())) or any(
            index in each.reads and self._is_timed_by_patterns(each.index, gone)
            for each in (*former.computed, *former.scanned)
        )

    def _gone(self, changed: Collection[int], joined: Iterable[Quantity]) -> frozenset[int]:
        """The quantities that only the changed rules looked at, themselves or through a pattern, and do no more."""
        former, every = self.former, self.quantities.all
        own = {index for each in self.own for index in (*each.reads, *each.patterns)}
        own.update(*(each.reads for each in joined), former.eligible_patterns)
        pending = [index for each in self.olds for index in (*each.reads, *each.patterns) if index not in own]
        gone: set[int] = set()
        while pending:
            index = pending.pop()
            if (
                index not in gone
                and index not in own
                and not every[index].names
                and all(each in gone for each in former.readers.get(index, ()))
                and not self._is_read(index, changed)
            ):
                gone.add(index)
                pending += every[index].reads
        return frozenset(gone)

    def _is_read(self, index: int, changed: Collection[int]) -> bool:
        """Whether a rule that did not change looks at a quantity."""
        productions = self.productions
        return any(
            each not in changed and index in productions[each].reads for each in self.former.index.readers(index)
        )

    def _offered(self, changed: Collection[int], added: Iterable[int], readers: Mapping[int, object]) -> frozenset[int]:
        """The quantities at which no rule looks, of those that offers looked at, that are new or that rules looked at."""
        found = self.former.offered.union(added, *(each.reads for each in self.olds))
        found = frozenset(index for index in found if index not in readers)
        found = found.difference(*(each.reads for each in self.own))
        return frozenset(index for index in found if not self._is_read(index, changed))

    def _readers(self, gone: Collection[int], joined: Collection[Quantity]) -> dict[int, tuple[int, ...]]:
        """By quantity, the patterns that look at it."""
        every, readers = self.quantities.all, self.former.readers
        touched = {index for number in gone for index in every[number].reads if index in readers}
        if not touched and not any(each.reads for each in joined):
            return readers
        made = dict(readers)
        for index in touched:
            left = tuple(each for each in made.pop(index) if each not in gone)
            if left:
                made[index] = left
        for index, found in by_key((index, each.index) for each in joined for index in each.reads).items():
            made[index] = made.get(index, ()) + found
        return made

    def _joined_rules(self, gone: Collection[int]) -> dict[int, tuple[int, ...]]:
        """By pattern, the productions that act for each of its combinations."""
        former = self.former.joined_rules
        if not any(each.patterns for each in (*self.own, *self.olds)):
            return former
        changed = {each.index for each in self.olds}
        made = _without(former, gone)
        for index in {index for each in self.olds for index in each.patterns}.difference(gone):
            made[index] = tuple(each for each in made[index] if each not in changed)
        for index, found in by_key((index, each.index) for each in self.own for index in each.patterns).items():
            made[index] = made.get(index, ()) + found
        return {index: found for index, found in made.items() if found}

    def _joined_alpha(
        self, alpha: dict[str, AlphaType], gone: frozenset[int], more: Mapping[str, AlphaType]
    ) -> dict[str, AlphaType]:
        """With the edges to patterns that there are now."""
        left = {
            self.former.numbering.selections[number][0]
            for index in gone.intersection(self.former.patterns)
            for number in self.former.patterns[index].roles
        }
        if not left and not more:
            return alpha
        made = dict(alpha)
        for event in left.union(more):
            kind = alpha.get(event) or AlphaType(Packing((event,)))
            joined = kind.joined
            made[event] = kind.rejoined(
                more.get(event) if joined is None else AmendedType(joined, gone, more.get(event))
            )
        return made

    def _alpha(
        self, gone: frozenset[int], added: Sequence[Quantity], nodes: Mapping[int, AggregateNode]
    ) -> dict[str, AlphaType]:
        former = self.former
        pairs = [
            (each.subject, nodes[each.index])
            for each in added
            if isinstance(each.subject, Aggregate | Presence) and each.index in nodes
        ]
        if not pairs and gone.isdisjoint(former.nodes):
            return former.alpha
        more = build({}, pairs)
        events = {*more, *(name for index in gone for name in events_of(former.quantities.all[index]))}
        return former.alpha | {
            name: AmendedType(former.alpha.get(name) or AlphaType(Packing((name,))), gone, more.get(name))
            for name in events
        }


def _means_the_same(rule: Rule, former: Rule) -> bool:
    """Whether a rule only moved, or has another note. What was not checked again is made of the same parts."""
    return (
        rule.digest == former.digest
        and rule.when is former.when
        and rule.actions is former.actions
        and rule.limits is former.limits
        and rule.schedule is former.schedule
        and rule.enabled is former.enabled
    )


def _alike(some: Sequence[object], others: Sequence[object]) -> int:
    """How many are the same objects, from the first on."""
    return next(
        (at for at, (one, other) in enumerate(zip(some, others, strict=False)) if one is not other),
        min(len(some), len(others)),
    )


def _without(of: dict[int, _T], gone: Collection[int]) -> dict[int, _T]:
    """What there is of the quantities that did not go."""
    made = dict(of)
    for index in gone:
        made.pop(index, None)
    return made


def _identity(index: int) -> int:
    return index


def _is_scanned(quantity: Quantity) -> bool:
    return quantity.origin is Origin.SCANNED


def _is_clocked(production: Production) -> bool:
    return any(literal.age is not None for literal in production.literals)
