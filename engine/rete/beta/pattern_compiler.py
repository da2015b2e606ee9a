"""From joined conditions to a pattern: binders, conditions as functions of what is bound, and what an event touches."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.language.bindings import references
from engine.language.tree import (
    Absence,
    Aggregate,
    Aggregation,
    All,
    AnyOf,
    BoundRef,
    Condition,
    FactRef,
    Keyed,
    Not,
    Operator,
    Seen,
    Segment,
    Selection,
    Sequence,
    SequenceStep,
    Span,
    Test,
)
from engine.rete.alpha.history import aggregate
from engine.rete.beta.binders import Binder, EventBinder, KeyBinder, RowBinder
from engine.rete.beta.pattern import Ground, Pattern, Role
from engine.rete.beta.selector import (
    UNSET,
    Environment,
    Look,
    Numbering,
    Reach,
    Resolve,
    Selector,
    Slots,
    reach,
    selector,
    truth_of,
)
from engine.rete.conditions import operators, subjects
from engine.rete.conditions.joining import NAMELESS, is_keyed_by_name, stands_apart, subject_alone
from engine.rete.conditions.quantity import Quantities, Quantity
from engine.rete.conditions.subjects import Joined, Presence
from engine.rete.conditions.truth import leaf_truth
from engine.rete.memory.ranking import Ranking
from engine.values import Millis, Truth

_RISING = frozenset({Operator.ABOVE, Operator.AT_LEAST})


def compile_pattern(quantity: Quantity, quantities: Quantities, numbering: Numbering) -> Pattern:
    """Compile the joined conditions that a quantity is about.

    Raises:
        ValueError: A test has no meaning: the rules that look at it are broken.
    """
    assert isinstance(quantity.subject, Joined)
    return _Compiler(quantity.subject, quantities, numbering).pattern(quantity)


class _Compiler:
    """Compiles one pattern."""

    def __init__(self, joined: Joined, quantities: Quantities, numbering: Numbering) -> None:
        self._joined = joined
        self._quantities = quantities
        self._numbering = numbering
        self._slots = Slots(joined.identity)
        self._roles: list[Role] = []
        self._spans: list[Reach] = []
        self._asks_catalogue = False
        self._keyed = 0

    def pattern(self, quantity: Quantity) -> Pattern:
        binders = tuple(self._binder(each) for each in self._joined.binders)
        rest = tuple(self._ground(each, wanted=True) for each in self._joined.rest)
        return Pattern(
            quantity.index,
            self._slots,
            binders,
            rest,
            self._roles,
            self._spans,
            quantity.reads,
            asks_catalogue=self._asks_catalogue,
            is_timed=quantity.is_timed,
        )

    # ------------------------------------------------------------------ binders

    def _binder(self, condition: subjects.Binder) -> Binder:
        if isinstance(condition, Seen):
            assert condition.bind is not None
            span = self._span(condition.span)
            found = self._selector(condition.of, self._own(condition.bind))
            self._role(found, _leaving(condition.span, may_rise=False))
            return EventBinder(found, span, self._needs([condition.of]), _taken([found]), self._bound_by([found]))
        if isinstance(condition, Sequence):
            return self._row(condition, may_rise=False)
        return self._keys(condition, wanted=True)

    def _row(self, condition: Sequence, *, may_rise: bool) -> RowBinder:
        span = self._span(condition.span)
        steps = tuple(self._selector(step.of, self._own(step.bind)) for step in condition.steps)
        for step in steps:
            self._role(step, _leaving(condition.span, may_rise=may_rise))
        own = frozenset(slot for step in condition.steps for slot in self._own(step.bind).values())
        needs = self._needs([step.of for step in condition.steps]) - own
        return RowBinder(steps, span, needs, _taken(steps) - own, self._bound_by(steps))

    def _keys(self, condition: Keyed, *, wanted: bool) -> KeyBinder:
        subject, bind = condition.aggregate, condition.bind
        key = value = None
        if bind is not None:
            ref = BoundRef(bind, condition.per)
            key = self._slots[ref] if ref in self._slots.places else None
            value = self._slots[BoundRef(bind, "value")] if bind != NAMELESS else None
        span = self._span(subject.span)
        of = [subject.of] if subject.minus is None else [subject.of, subject.minus]
        own = {} if key is None else {condition.per: key}
        selectors = tuple(self._selector(each, own, frozenset({condition.per})) for each in of)
        is_value_used = value is not None and any(
            self._slots.places.get(ref) == value
            for each in (*self._joined.binders, *self._joined.rest)
            for ref in references(each)
        )
        only_falls = (
            wanted
            and not condition.take_highest
            and not is_value_used
            and subject.minus is None
            and subject.function in {Aggregation.COUNT, Aggregation.DISTINCT}
            and all(operator in _RISING for operator, _ in condition.tests)
        )
        is_apart = all(link.slot == key for each in selectors for link in each.links) and not any(
            each.tests for each in selectors
        )
        is_steady = all(_is_constant(operator, operand) for operator, operand in condition.tests)
        ranking = Ranking(condition.per) if condition.take_highest and is_apart and is_steady else None
        number = self._keyed
        self._keyed += 1
        for each in selectors:
            # Which key is the highest is decided among all: an event of one touches the others.
            self._role(
                each,
                _leaving(subject.span, may_rise=not only_falls),
                without=key if condition.take_highest else None,
                ranking=ranking,
                keyed=(number, condition.per, subject.span.window),
            )
        needs = self._needs(of) | _taken(selectors)
        for _, operand in condition.tests:
            needs |= self._slots_in(operand)
        bound = frozenset(slot for slot in (key, value) if slot is not None)
        return KeyBinder(
            subject,
            selectors,
            condition.per,
            tuple((operator, self._resolve(operand)) for operator, operand in condition.tests),
            key,
            value,
            condition.take_highest,
            span,
            needs,
            frozenset(),
            self._bound_by(selectors) | bound,
            ranking,
            number,
        )

    def _own(self, name: str | None) -> dict[str, int]:
        """The slots that the attributes of what this name is bound to stand in."""
        return {ref.attribute: slot for slot, ref in enumerate(self._slots.identity) if ref.name == name}

    def _bound_by(self, selectors: Iterable[Selector]) -> frozenset[int]:
        return frozenset(link.slot for each in selectors for link in each.links)

    def _needs(self, selections: Iterable[Selection]) -> frozenset[int]:
        """Slots that the tests look at which can't bind them."""
        found: set[int] = set()
        for selection in selections:
            for test in selection.where:
                is_link = isinstance(test.operand, BoundRef) and test.operator is Operator.IS
                if not (is_link and self._slots.tells_apart(self._slots[test.operand])):  # type: ignore[index]
                    found |= self._slots_in(test.operand)
        return frozenset(found)

    def _slots_in(self, operand: Any) -> frozenset[int]:
        if isinstance(operand, FactRef):
            operand = operand.of
        return frozenset({self._slots[operand]}) if isinstance(operand, BoundRef) else frozenset()

    # ------------------------------------------------------------------ what touches

    def _selector(self, selection: Selection, own: dict[str, int], required: frozenset[str] = frozenset()) -> Selector:
        return selector(selection, own, self._slots, self._numbering, self._resolve, required)

    def _role(
        self,
        found: Selector,
        offsets: tuple[tuple[Millis, bool], ...] = (),
        *,
        without: int | None = None,
        ranking: Ranking | None = None,
        keyed: tuple[int, str, Millis | None] | None = None,
    ) -> None:
        links = [link for link in found.links if link.slot != without]
        required = frozenset(link.slot for link in links if not link.is_own)
        pairs = tuple((link.slot, link.attribute) for link in links)
        self._roles.append(Role(found.alpha, pairs, required, offsets, ranking, keyed))

    def _span(self, span: Span) -> Reach:
        made = reach(span, self._numbering)
        if made.since is not None:
            self._roles.append(Role(made.since, (), frozenset(), ()))
        self._spans.append(made)
        return made

    # ------------------------------------------------------------------ conditions on what is bound

    def _ground(self, condition: Condition, *, wanted: bool) -> Ground:
        if isinstance(condition, Segment):
            return self._ground(condition.condition, wanted=wanted)
        if isinstance(condition, Not):
            part = self._ground(condition.part, wanted=not wanted)

            def negation(look: Look, env: Environment) -> Truth:
                truth = part(look, env)
                return None if truth is None else not truth

            return negation
        if isinstance(condition, All | AnyOf):
            parts = [self._ground(each, wanted=wanted) for each in condition.parts]
            return _junction(parts, decides=isinstance(condition, AnyOf))
        if isinstance(condition, Test):
            return self._test(condition)
        if isinstance(condition, Seen):
            if references(condition):
                return self._seen(condition, wanted=wanted)
            truth = leaf_truth(condition, self._quantities)
            return lambda look, env: truth(look.values, look.now)
        assert isinstance(condition, Absence | Keyed | Sequence)
        if self._joined.binders and stands_apart(condition):
            return self._resolve(subject_alone(condition))
        if isinstance(condition, Absence):
            return self._absence(condition, wanted=wanted)
        if isinstance(condition, Keyed):
            return _some(self._keys(condition, wanted=wanted))
        steps = tuple(SequenceStep(step.of) for step in condition.steps)
        return _some(self._row(Sequence(steps, condition.span), may_rise=not wanted))

    def _seen(self, condition: Seen, *, wanted: bool) -> Ground:
        span = self._span(condition.span)
        found = self._selector(condition.of, {})
        self._role(found, _leaving(condition.span, may_rise=not wanted))

        def seen(look: Look, env: Environment) -> Truth:
            for _ in found.matching(look, env, span.begin(look)):
                return True
            return False if span.is_whole(look) else None

        return seen

    def _absence(self, condition: Absence, *, wanted: bool) -> Ground:
        of, after = self._selector(condition.of, {}), self._selector(condition.after, {})
        duration, until = condition.duration, condition.until
        offsets = ((duration, wanted),) if until is None else ((duration, wanted), (until, not wanted))
        self._role(of)
        self._role(after, offsets)
        whole = Reach(until, None)
        self._spans.append(whole)

        def absent(look: Look, env: Environment) -> Truth:
            latest = after.latest(look, env)
            if latest is None:
                return False if whole.is_whole(look) else None
            age = look.now - latest[0]
            if age < duration or (until is not None and age >= until):
                return False
            return all(False for _ in of.matching(look, env, (latest[0], latest[1] + 1)))

        return absent

    def _test(self, condition: Test) -> Ground:
        subject: Any = condition.subject
        if condition.operator is Operator.EXISTS and not is_keyed_by_name(subject):
            exists = leaf_truth(condition, self._quantities)
            return lambda look, env: exists(look.values, look.now)
        value = self._of_aggregate(subject) if self._is_bound_aggregate(subject) else self._resolve(subject)
        operator, operand = condition.operator, self._resolve(condition.operand)
        return lambda look, env: truth_of(look, value(look, env), operator, operand(look, env))

    @staticmethod
    def _is_bound_aggregate(subject: Any) -> bool:
        return isinstance(subject, Aggregate) and is_keyed_by_name(subject)

    def _of_aggregate(self, subject: Aggregate) -> Resolve:
        """The value of an aggregate over events that fit what is bound."""
        span = self._span(subject.span)
        of = [(subject.of, 1)] if subject.minus is None else [(subject.of, 1), (subject.minus, -1)]
        counts = subject.function is Aggregation.COUNT
        found = [(self._selector(each, {}), each.attribute, sign) for each, sign in of]
        for each, _, _ in found:
            self._role(each, _leaving(subject.span, may_rise=True))

        def value(look: Look, env: Environment) -> Any:
            if not span.is_whole(look):
                return UNSET
            begin = span.begin(look)
            items: list[tuple[int, int, int, Any]] = []
            for number, (each, attribute, sign) in enumerate(found):
                for time, arrival, attributes in each.matching(look, env, begin):
                    item: Any = 1 if counts or attribute is None else attributes[attribute]
                    items.append((time, arrival, number, item if sign > 0 else -item))
            if len(found) > 1:
                items.sort(key=_place)
            if items:
                return aggregate(subject.function, [item[3] for item in items], subject.type)
            return subjects.nothing(subject)

        return value

    def _resolve(self, operand: Any) -> Resolve:
        """A right side or subject as a function of what is bound."""
        if isinstance(operand, BoundRef):
            slot = self._slots[operand]
            return lambda look, env: None if env[slot] is UNSET else env[slot]
        if isinstance(operand, FactRef) and operand.of is not None:
            self._asks_catalogue = True
            name, key = operand.fact, self._resolve(operand.of)

            def look_up(look: Look, env: Environment) -> Any:
                found = key(look, env)
                return None if found is None or look.catalogue is None else look.catalogue(name, found)

            return look_up
        if isinstance(operand, FactRef | Aggregate | Presence | Joined):
            index = self._quantities.of(operand).index
            return lambda look, env: look.values.get(index, look.defaults[index])
        return lambda look, env: operand


def _is_constant(operator: Operator, operand: Any) -> bool:
    """Whether a test looks at nothing but the value: neither at other values nor at the clock."""
    return operator not in operators.CLOCKED and not isinstance(operand, BoundRef | FactRef)


def _taken(selectors: Iterable[Selector]) -> frozenset[int]:
    """The slots that are bound by others."""
    return frozenset(link.slot for each in selectors for link in each.links if not link.is_own)


def _leaving(span: Span, *, may_rise: bool) -> tuple[tuple[Millis, bool], ...]:
    return () if span.window is None else ((span.window, may_rise),)


def _place(item: tuple[int, int, int, Any]) -> tuple[int, int, int]:
    return item[:3]


def _some(binder: Binder) -> Ground:
    """Whether there is a solution, where nothing is bound by it."""

    def some(look: Look, env: Environment) -> Truth:
        truth: Truth = False
        for found, _ in binder.solutions(look, env):
            if found:
                return True
            truth = None
        return truth if binder.span.is_whole(look) else None

    return some


def _junction(parts: list[Ground], *, decides: bool) -> Ground:
    def junction(look: Look, env: Environment) -> Truth:
        result: Truth = not decides
        for part in parts:
            truth = part(look, env)
            if truth is decides:
                return decides
            if truth is None:
                result = None
        return result

    return junction
