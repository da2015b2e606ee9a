"""Aggregates for each key, sequences and absences: conditions over several events."""

from __future__ import annotations

from engine.language.bindings import VALUE
from engine.language.check_aggregates import Aggregates, Tests
from engine.language.check_bindings import Bindings
from engine.language.shape import Here
from engine.language.syntax import AbsenceSyntax, AggregateTestSyntax, SequenceSyntax, StepSyntax
from engine.language.tree import Absence, Aggregate, Keyed, Operand, Operator, Selection, Sequence, SequenceStep
from engine.values import Kind


class Patterns:
    """Checks conditions over several events, with the aggregates and tests of the conditions beside them."""

    def __init__(self, aggregates: Aggregates, tests: Tests) -> None:
        self.aggregates = aggregates
        self.tests = tests
        self.report = aggregates.report

    def keyed(self, syntax: AggregateTestSyntax) -> Keyed | None:
        """`{count: product_viewed, per: product_id, at_least: 3, as: liked}`."""
        if syntax.per is None:
            if syntax.is_whole:
                self._without_per(syntax)
            return None
        aggregate = self.aggregates.check(syntax.aggregate)
        per = self._per(syntax, aggregate)
        takes_highest = self._takes_highest(syntax, aggregate)
        if not syntax.tests and syntax.is_whole:
            function = syntax.aggregate.function.value
            message = f"{function} is computed for each {syntax.per.text} and not tested"
            self.report.error("no-test", Here(syntax.extent), message, "add a test, for example at_least: 3")
        if aggregate is None:
            return None
        what = f"{syntax.aggregate.function.value} of {syntax.aggregate.target.text}"
        tests: list[tuple[Operator, Operand]] = []
        for test in syntax.tests:
            operand = self.tests.operand(test, aggregate.type, what)
            if operand is not None:
                tests.append((test.operator, operand))
        if per is None or takes_highest is None or not tests or len(tests) < len(syntax.tests) or not syntax.is_whole:
            return None
        bind = syntax.bind.text if syntax.bind is not None else None
        place = syntax.extent.place
        tests.sort(key=lambda test: (test[0].value, repr(test[1])))
        return Keyed(aggregate, per, tuple(tests), bind, takes_highest, place)

    def _without_per(self, syntax: AggregateTestSyntax) -> None:
        node, key = (syntax.bind, "as") if syntax.bind is not None else (syntax.take, "take")
        assert node is not None
        code = "binding-place" if key == "as" else "operator-not-here"
        function = syntax.aggregate.function.value
        message = f"{key} needs per: without it {function} is one value, of no key"
        self.report.error(code, node, message, "add for example per: product_id")

    def _per(self, syntax: AggregateTestSyntax, aggregate: Aggregate | None) -> str | None:
        assert syntax.per is not None
        event = syntax.aggregate.target.text.partition(".")[0]
        if event not in self.aggregates.events:
            return None
        name = syntax.per.text
        if "." in name and name.partition(".")[0] == event:
            message = f"per names an attribute of {event}, without the event"
            self.report.error("wrong-shape", syntax.per, message, f"write per: {name.partition('.')[2]}")
            return None
        attribute = self.aggregates.attribute(syntax.per, event, name)
        if attribute is None:
            return None
        if attribute.type.kind is Kind.LIST:
            self.report.error("operator-type", syntax.per, f"{event}.{name} is a list, and a list is no key")
            return None
        if name == VALUE and syntax.bind is not None:
            message = f"${syntax.bind.text}.{VALUE} would be both the key and the value of the aggregate"
            self.report.error("duplicate-name", syntax.per, message, "give the attribute another name")
            return None
        return name if aggregate is not None else None

    def _takes_highest(self, syntax: AggregateTestSyntax, aggregate: Aggregate | None) -> bool | None:
        if syntax.take is None:
            return False
        if syntax.take.text != "highest":
            message = f"take keeps the key with the highest value, there is no {syntax.take.text[:60]}"
            self.report.error("wrong-type", syntax.take, message, "write take: highest")
            return None
        if aggregate is not None and not aggregate.type.is_ordered:
            message = f"{syntax.aggregate.function.value} of {syntax.aggregate.target.text} has no order, so no highest"
            self.report.error("operator-type", syntax.take, message, "delete take:")
            return None
        if syntax.bind is None:
            message = "take changes nothing where no name is bound: some key passes, or none does"
            self.report.warning("without-effect", syntax.take, message, "delete take:, or add as: and use the name")
        return True

    def sequence(self, syntax: SequenceSyntax, bindings: Bindings) -> Sequence | None:
        """`{sequence: [{event: product_viewed, as: seen}, {event: cart_removed}], within: 1 hour}`."""
        names = [step.bind.text for step in syntax.steps if step.bind is not None]
        number = bindings.number(syntax)
        steps: list[SequenceStep] = []
        for step in syntax.steps:
            bindings.begin(number, names)  # a step sees what the steps before it bind
            of = self._step(step)
            bind = step.bind.text if step.bind is not None else None
            if bind is not None:
                names.remove(bind)
            if of is not None:
                steps.append(SequenceStep(of, bind))
        span = self.aggregates.span(syntax.span)
        if span is None or len(steps) < len(syntax.steps) or not syntax.is_whole:
            return None
        return Sequence(tuple(steps), span, syntax.extent.place)

    def absence(self, syntax: AbsenceSyntax) -> Absence | None:
        """`{absence: {of: purchase, after: checkout_viewed, for: 15 minutes}}`."""
        of, after = self._step(syntax.of), self._step(syntax.after)
        duration = self.aggregates.values.span(syntax.duration, "for")
        until = None
        if syntax.until is not None:
            until = self.aggregates.values.span(syntax.until, "until")
            if until is None:
                return None
            if duration is not None and until <= duration:
                message = "until ends the absence before for: has passed, so it never holds"
                self.report.error("impossible", syntax.until, message, "until: counts from the same event as for:")
                return None
        if of is None or after is None or duration is None:
            return None
        return Absence(of, after, duration, until, syntax.extent.place)

    def _step(self, step: StepSyntax) -> Selection | None:
        event, dot, _ = step.event.text.partition(".")
        if dot and event in self.aggregates.events:
            message = "event names an event, not one of its attributes"
            self.report.error("wrong-shape", step.event, message, f"write {{event: {event}, where: ...}}")
            return None
        return self.aggregates.selection(step.event, step.event.text, step.where)
