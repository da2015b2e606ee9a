"""A network that differs from another in a few rules: the other, amended.

The indices of an amended network mean what they meant, so that the memory of a session goes on in it as it is: a rule
that is new has an index behind all others, wherever it acts, and that of a rule that is gone stays empty. What the
changed rules lead to is made; all else is shared. An index over the changed rules stands beside the one over all: what
the large one says of a rule that changed is left out. With many changes, the network is made from nothing again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from engine.language.tree import Aggregate, Program, Rule
from engine.rete.agenda.conflict import ConflictIndex, Glance, Holding
from engine.rete.agenda.derived import strata
from engine.rete.agenda.production import Production, compile_rule
from engine.rete.agenda.schedules import Gates
from engine.rete.alpha.aggregates import AggregateNode, Changed
from engine.rete.alpha.network import AlphaType, Broken, Feed, build
from engine.rete.alpha.windows import WindowNode, node_of
from engine.rete.compilation import NUMBERS, Compiled, clocked_in, forms_of, timed_by
from engine.rete.conditions.normal_form import NormalForm
from engine.rete.conditions.quantity import Origin, Quantities, Quantity, events_of
from engine.rete.conditions.subjects import Presence
from engine.values import EpochMs, Value

Rank: TypeAlias = Callable[[int], int]
"""The place of a production in order of acting, below 0 for one that is gone."""

MOST_CHANGED = 64
"""Rules that are amended; so many are looked through in the time in which a network of 100 is made."""


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """What an amended network stands on.

    Attributes:
        index: Over all rules as they were.
        changed: The rules that changed since, are new or gone, by index.
        reads: The quantities that they looked at.
    """

    index: ConflictIndex
    changed: frozenset[int]
    reads: frozenset[int]


class AmendedIndex(ConflictIndex):
    """An index over all rules as they were, with another over those that changed."""

    def __init__(
        self, base: Base, productions: Sequence[Production], quantities: Sequence[Quantity], rank: Rank
    ) -> None:
        """`productions` as they are now."""
        self.base = base
        self._changed = base.changed
        own = sorted((index for index in base.changed if rank(index) >= 0), key=rank)
        self._own = ConflictIndex([productions[index] for index in own], quantities)
        self.glances = [*base.index.glances, *self._own.glances[len(base.index.glances) :]]
        for index in base.reads.union(*(productions[each].reads for each in base.changed)):
            self.glances[index] = Glance((), quantities[index].default, None)
        self.all = _Amended(base.index.all, self._own.all, base.changed, rank)
        self.asking = _Amended(base.index.asking, self._own.asking, base.changed, rank)

    def readers(self, index: int) -> Sequence[int]:
        """The productions that look at a quantity, perhaps with some that did."""
        return [*self.base.index.readers(index), *self._own.readers(index)]

    def candidates(self, changed: Iterable[int]) -> set[int]:
        """See `ConflictIndex`."""
        changed = tuple(changed)
        return self.base.index.candidates(changed) | self._own.candidates(changed)

    def risen(self, changed: Changed, values: dict[int, Value | None], now: EpochMs) -> dict[int, bool | None]:
        """See `ConflictIndex`."""
        found = self.base.index.risen(changed, values, now)
        for index in self._changed.intersection(found):
            del found[index]
        found.update(self._own.risen(changed, values, now))
        return found


class _Amended(Holding):
    """Which productions may hold, as `Holding` says it."""

    def __init__(self, base: Holding, own: Holding, changed: frozenset[int], rank: Rank) -> None:
        self._base = base
        self._own = own
        self._changed = changed
        self._rank = rank

    def candidates(self, values: dict[int, Value | None]) -> list[int]:
        """In order of acting."""
        found = {*self._base.candidates(values)}.difference(self._changed)
        return sorted(found.union(self._own.candidates(values)), key=self._rank)


class AmendedType(AlphaType):
    """The selections of an event type, some of which lead to quantities that no rule needs any more, and some more."""

    __slots__ = ("base", "gone", "more")

    def __init__(self, base: AlphaType, gone: Collection[AggregateNode], more: AlphaType | None) -> None:
        super().__init__(base.shape)
        self.base: AlphaType = base
        self.more: tuple[AlphaType, ...] = () if more is None else (more,)
        self.gone = frozenset(id(node) for node in gone)
        if isinstance(base, AmendedType):
            self.base = base.base
            self.more = base.more + self.more
            self.gone |= base.gone
        self.joined = base.joined
        added = () if more is None else more.resets
        self.resets = (*(node for node in base.resets if id(node) not in self.gone), *added)
        self.is_dull = base.is_dull and (more is None or more.is_dull)

    def all_reached(self, attributes: dict[str, Value], time: EpochMs) -> Sequence[Feed]:
        """See `AlphaType`."""
        return self.reached(attributes, time, [])

    def reached(self, attributes: dict[str, Value], time: EpochMs, broken: Broken) -> list[Feed]:
        """See `AlphaType`."""
        found: list[Feed] = []
        for each in (self.base, *self.more):
            told: Broken = []
            found += each.reached(attributes, time, told) if each.table is None else each.all_reached(attributes, time)
            broken += told
        gone = self.gone
        return [feed for feed in found if id(feed.node) not in gone] if gone else found


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
        productions = self.productions
        olds = {each.rule.id: each for each in self.former.acting}
        normal_form = NormalForm(self.quantities)
        for rule in self.program.rules:
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
        scored = tuple(each for each in acting if each.asking)
        if not all(map(_is_plain, either)) or not self._scores_are_kept(scored):
            return None
        changed = frozenset(each.index for each in either)
        ranks = self._ranks()
        none: frozenset[int] = frozenset()
        known = former.index.base if isinstance(former.index, AmendedIndex) else Base(former.index, none, none)
        were = known.reads.union(*(each.reads for each in olds))
        base = Base(known.index, known.changed.union(changed), were)
        if len(base.changed) > MOST_CHANGED or not self._times_are_kept(changed):
            return None
        gone = self._gone(changed)
        self.quantities.forget(gone)
        every = self.quantities.all
        added = every[len(former.defaults) :]
        nodes = {each.index: node_of(each, former.keep_events) for each in added if each.origin is Origin.EVENTS}
        kept = {index: node for index, node in former.nodes.items() if index not in gone} if gone else former.nodes
        nodes = {**kept, **nodes} if nodes else kept
        all_nodes, tuple_of = nodes, tuple(productions)
        clocked = clocked_in(acting) if any(_is_clocked(each) for each in either) else former.clocked
        asserts = former.strata or any(each.asserts for each in own)
        layers = strata(acting, every) if asserts else former.strata
        has_gates = any(each.rule.schedule is not None for each in either)
        asserting = [each for each in acting if each.asserts]
        assert_gates = Gates(asserting) if has_gates else former.assert_gates
        scanned = tuple(each for each in every if each.origin is Origin.SCANNED and each.index not in gone)
        plain = former.plain.difference(id(each.rule.when) for each in olds).union(id(each.rule.when) for each in own)
        computed = former.computed
        return replace(
            former,
            number=next(NUMBERS),
            program=self.program,
            quantities=self.quantities,
            defaults=tuple(each.default for each in every) if added else former.defaults,
            nodes=all_nodes,
            windows={index: node for index, node in all_nodes.items() if isinstance(node, WindowNode)},
            alpha=self._alpha(gone, added, all_nodes),
            scanned=scanned,
            clocked=clocked,
            productions=tuple_of,
            acting=acting,
            ranks=ranks,
            scored=scored,
            strata=layers,
            gates=Gates(acting) if has_gates else former.gates,
            assert_gates=assert_gates,
            index=AmendedIndex(base, productions, every, _identity if ranks is None else ranks.__getitem__),
            plans=former.plans.for_another(),
            forms=forms_of(acting) if former.forms else former.forms,
            plain=plain,
            branching=tuple(each for each in acting if len(each.patterns) > 1),
            has_clock_moments=bool(clocked or assert_gates or former.last_known),
            is_plain=not (computed or scanned or layers or scored or clocked),
        )

    def _scores_are_kept(self, scored: Sequence[Production]) -> bool:
        """Whether the rules ask the same of models as they did: there are tables over all of it."""
        if not any(each.asking for each in (*self.own, *self.olds)):
            return True
        return {test for each in scored for test in each.score_tests} == self.former.score_numbers.keys()

    def _times_are_kept(self, changed: Collection[int]) -> bool:
        """Whether the same of the former quantities are timed, all rules considered: their nodes are shared."""
        size = len(self.former.defaults)
        every = self.quantities.all
        wanted = {index for each in self.own for index in timed_by(each, every)}
        if any(not every[index].is_timed for index in wanted if index < size):
            return False
        for index in wanted:
            every[index].is_timed = True
        were = {index for each in self.olds for index in timed_by(each, every)} - wanted
        return all(self._is_timed_by_others(index, changed) for index in were)

    def _is_timed_by_others(self, index: int, changed: Collection[int]) -> bool:
        return any(
            index in timed_by(self.productions[each], self.quantities.all)
            for each in self.former.index.readers(index)
            if each not in changed
        )

    def _gone(self, changed: Collection[int]) -> frozenset[int]:
        """The quantities that only the changed rules looked at, and do no more."""
        productions, former = self.productions, self.former
        own = {index for each in self.own for index in each.reads}
        were = {index for each in self.olds for index in each.reads}
        return frozenset(
            index
            for index in were - own
            if not self.quantities.all[index].names
            and index not in former.readers
            and not any(
                each not in changed and index in productions[each].reads for each in former.index.readers(index)
            )
        )

    def _alpha(
        self, gone: Collection[int], added: Sequence[Quantity], nodes: Mapping[int, AggregateNode]
    ) -> dict[str, AlphaType]:
        former = self.former
        pairs = [
            (each.subject, nodes[each.index])
            for each in added
            if isinstance(each.subject, Aggregate | Presence) and each.index in nodes
        ]
        left = [former.nodes[index] for index in gone if index in former.nodes]
        if not pairs and not left:
            return former.alpha
        shapes = {name: kind.shape for name, kind in former.alpha.items()}
        more = build({}, pairs)
        events = {*more, *(name for index in gone for name in events_of(former.quantities.all[index]))}
        return former.alpha | {
            name: AmendedType(former.alpha.get(name) or AlphaType(shapes.get(name, (name,))), left, more.get(name))
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


def _is_plain(production: Production) -> bool:
    """Whether there is nothing to a rule for which there are tables over all rules but those made here."""
    return production.broken is None and production.form is None


def _identity(index: int) -> int:
    return index


def _is_clocked(production: Production) -> bool:
    return any(literal.age is not None for literal in production.literals)
