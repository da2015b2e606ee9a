"""Mutants of the network: each one slip that somebody could make, which the tests of meaning must notice.

A mutant is a file, a text that stands in it exactly once, and what stands there instead.
"""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """A slip; its name says which."""

    name: str
    file: str
    before: str
    after: str


MUTANTS = (
    # ---------------------------------------------------------------- windows and timers
    Mutant(
        "a counted event leaves its window a millisecond late",
        "alpha/windows.py",
        "elif times[0] > begin:",
        "elif times[0] >= begin:",
    ),
    Mutant(
        "an event is seen a millisecond too long",
        "alpha/windows.py",
        "if latest + window > horizon:\n                return latest + window",
        "if latest + window >= horizon:\n                return latest + window + 1",
    ),
    Mutant(
        "an event seen again does not renew its window",
        "alpha/windows.py",
        "        if time > latest:\n            states[index] = time\n",
        "",
    ),
    Mutant(
        "a late event is counted at the end",
        "alpha/windows.py",
        "insort(times, time)\n                if times[0] == at:\n",
        "times.append(time)\n                if times[0] == at:\n",
    ),
    Mutant(
        "what leaves a sum is not taken away",
        "alpha/windows.py",
        "memory.values[index] -= sum(item for _, item in left)",
        "memory.values[index] -= 0 * len(left)",
    ),
    Mutant(
        "a late event goes before those of its own time",
        "alpha/windows.py",
        "at = bisect_right(entries, time, key=_time_of)",
        "at = bisect_right(entries, time - 1, key=_time_of)",
    ),
    Mutant(
        "the timer of a window is lost",
        "alpha/windows.py",
        "heap = memory.timed if self.is_timed else memory.lazy",
        "heap = memory.lazy",
    ),
    Mutant(
        "what expires at a moment is still there at it",
        "session/changes.py",
        "if moment > horizon:",
        "if moment >= horizon:",
    ),
    Mutant(
        "a request looks a millisecond too far back",
        "alpha/windows.py",
        "begin = now - self.window\n        if memory.states.get(self.index, begin) > begin:",
        "begin = now - self.window - 1\n        if memory.states.get(self.index, begin) > begin:",
    ),
    Mutant(
        "the timer of a test against the clock is lost",
        "session/clockwork.py",
        "                if isinstance(length, int):\n                    moments.append(value + length)\n",
        "                if isinstance(length, int):\n                    moments.append(value)\n",
    ),
    Mutant(
        "a late event counts though it has just left its window",
        "session/changes.py",
        "event.time + span.window <= clock",
        "event.time + span.window < clock",
    ),
    # ---------------------------------------------------------------- aggregates
    Mutant(
        "the last of two events of one millisecond is the first",
        "alpha/aggregates.py",
        "time < held if self.is_first else time >= held",
        "time < held if self.is_first else time > held",
    ),
    Mutant(
        "a since event leaves what a node kept beside its value",
        "alpha/aggregates.py",
        "        memory.states.pop(index, None)\n        memory.forgotten.pop(index, None)\n        if index in",
        "        memory.forgotten.pop(index, None)\n        if index in",
    ),
    Mutant(
        "a late event at the time of the since event does not count",
        "session/changes.py",
        "event.time < memory.resets.get(span.since, event.time)",
        "event.time <= memory.resets.get(span.since, event.time + 1)",
    ),
    Mutant(
        "a late event is kept before those of its own time",
        "memory/retained.py",
        "if self._time(begin, end) > time:",
        "if self._time(begin, end) >= time:",
    ),
    Mutant(
        "what was dropped first stands for what was dropped last",
        "memory/retained.py",
        "max(time, self.dropped)",
        "min(time, self.dropped)",
    ),
    # ---------------------------------------------------------------- truth
    Mutant(
        "a test of an unknown value is false, so that not makes it true",
        "conditions/normal_form.py",
        "return lambda values, now: truth(values, now) is wanted",
        "return lambda values, now: bool(truth(values, now)) is wanted",
    ),
    Mutant(
        "a limit is looked at from the wrong side where no index finds it",
        "conditions/normal_form.py",
        "passes = COMPARISONS[shape == Shape.ABOVE, is_strict]",
        "passes = COMPARISONS[shape == Shape.BELOW, is_strict]",
    ),
    Mutant(
        "a check that no index finds rose though it held before",
        "agenda/conflict.py",
        "literal.holds(values, now) and not literal.holds(old, now)",
        "literal.holds(values, now)",
    ),
    Mutant(
        "at a glance, what was so before the step became so by it",
        "session/straight.py",
        "return (end,) if new == glance.value and new != old else NO_ENDS",
        "return (end,) if new == glance.value else NO_ENDS",
    ),
    Mutant(
        "at a glance, a rule holds whatever else it asks",
        "agenda/conflict.py",
        "any(end.checks or not end.is_certain for",
        "any(not end.is_certain for",
    ),
    Mutant(
        "the extreme that left a window still stands",
        "alpha/windows.py",
        "forgotten is not None or memory.values[index] in [item for _, item in left]",
        "forgotten is not None",
    ),
    Mutant(
        "of the limits in their place in the common order, those passed before count again",
        "alpha/discrimination.py",
        "                low = self._place(limits, old, 0, high)\n",
        "                low = 0 * self._place(limits, old, 0, high)\n",
    ),
    Mutant(
        "of limits that are no whole numbers, those passed before count again",
        "alpha/discrimination.py",
        "                low = self.find(limits, old)\n",
        "                low = 0 * self.find(limits, old)\n",
    ),
    Mutant(
        "below not, exists asks for the same",
        "conditions/normal_form.py",
        "Test(leaf.subject, operator, operand is wanted)",
        "Test(leaf.subject, operator, operand is True)",
    ),
    Mutant(
        "not above is below, and loses the limit",
        "conditions/operators.py",
        "    Operator.ABOVE: Operator.AT_MOST,",
        "    Operator.ABOVE: Operator.BELOW,",
    ),
    Mutant(
        "not between looks at the lower end only",
        "conditions/normal_form.py",
        "return [*self.literal(low, False), *self.literal(high, False)]",
        "return self.literal(low, False)",
    ),
    Mutant(
        "older_than begins a millisecond late",
        "conditions/operators.py",
        "return value <= now - age",
        "return value < now - age",
    ),
    Mutant(
        "a test and its opposite are one literal",
        "conditions/normal_form.py",
        "key = (quantity.index, meant, wanted)",
        "key = (quantity.index, meant, True)",
    ),
    # ---------------------------------------------------------------- indexes
    Mutant(
        "a ladder of limits takes at_least for above",
        "alpha/discrimination.py",
        "bisect_left if is_upward is is_strict else bisect_right",
        "bisect_left if is_upward else bisect_right",
    ),
    Mutant(
        "rules with different limits share one node",
        "alpha/discrimination.py",
        "if at == len(self.limits) or self.limits[at] != limit:",
        "if at == len(self.limits):",
    ),
    Mutant(
        "the guard before a shared place lets everything pass",
        "alpha/discrimination.py",
        "elif not guard.passes(value, guard.operand):\n                    break\n",
        "else:\n                    pass\n",
    ),
    Mutant(
        "an alternative that becomes true is an edge though another held",
        "agenda/conflict.py",
        "is_only = len(production.conjuncts) == 1",
        "is_only = True",
    ),
    Mutant(
        "what held is looked at with the time of now",
        "session/rising.py",
        "production.holds_plainly(earlier, before)",
        "production.holds_plainly(earlier, now)",
    ),
    # ---------------------------------------------------------------- derived facts
    Mutant(
        "derived facts that hold each other up are never withdrawn",
        "session/settle.py",
        "round_changed[fact] = values.pop(fact)",
        "round_changed[fact] = values[fact]",
    ),
    Mutant(
        "the last rule that asserts a value wins",
        "session/settle.py",
        "if fact in stratum.facts and fact not in asserted:",
        "if fact in stratum.facts:",
    ),
    Mutant(
        "a rule asserts though its schedule is closed",
        "session/settle.py",
        "if not rule.enabled or not is_open(rule.schedule, now):",
        "if not rule.enabled:",
    ),
    # ---------------------------------------------------------------- scores and acts
    Mutant(
        "the last known answer is used at the very end of its age",
        "agenda/scoring.py",
        "self._now - last[1] >= (test.last_known or 0)",
        "self._now - last[1] > (test.last_known or 0)",
    ),
    Mutant(
        "an answer stands though what the model sees has changed",
        "session/steps.py",
        "                memory.fresh = NOTHING_FRESH\n",
        "                memory.fresh = memory.fresh\n",
    ),
    Mutant(
        "a score is released at the very value that keeps it",
        "conditions/truth.py",
        "return value >= test.release",
        "return value > test.release",
    ),
    Mutant(
        "an act slides out of its limit a millisecond early",
        "agenda/agenda.py",
        "bisect_right(acts, now - limit.sliding)",
        "bisect_right(acts, now - limit.sliding + 1)",
    ),
    Mutant(
        "a rule that is new stays so",
        "session/steps.py",
        "memory.new = memory.quiet = frozenset()",
        "memory.quiet = frozenset()",
    ),
    # ---------------------------------------------------------------- snapshots
    Mutant(
        "a snapshot loses counts of the session",
        "session/names.py",
        "self.unstored = self.follows.union(compiled.windows, compiled.patterns)",
        "self.unstored = self.follows.union(compiled.nodes, compiled.patterns)",
    ),
    Mutant(
        "a snapshot loses acts",
        "session/snapshot.py",
        "{names.rules[index]: [clock - at for at in acts] for index, acts in memory.acts.items()},",
        "{},",
    ),
    Mutant(
        "a snapshot loses which rules with scores held",
        "session/snapshot.py",
        "sorted(names.rules[index] for index in memory.held),",
        "[],",
    ),
    Mutant(
        "a snapshot loses when a since last began",
        "session/snapshot.py",
        "parts.append({name: clock - time for name, time in memory.resets.items()})",
        "parts.append({})",
    ),
    Mutant(
        "a window that is read from a snapshot has no timer",
        "session/snapshot.py",
        "timed.append(mark)",
        "lazy.append(mark)",
    ),
    # ---------------------------------------------------------------- requests
    Mutant(
        "an answer is valid past the end of a window",
        "horizon.py",
        "return moment if moment in leaving else None",
        "return None if moment in leaving else moment",
    ),
    Mutant(
        "a near miss counts every branch of any",
        "reports/explain.py",
        "return min(needs, default=1_000_000)",
        "return sum(needs) or 1_000_000",
    ),
    Mutant(
        "a report names the first event where the last was seen",
        "reports/explain.py",
        "for event in reversed(view.kept_events()):",
        "for event in view.kept_events():",
    ),
    # ---------------------------------------------------------------- bound names
    Mutant(
        "a combination that is not true any more is kept",
        "beta/pattern.py",
        "was.setdefault(token, tokens.pop(token))",
        "was.setdefault(token, tokens[token])",
    ),
    Mutant(
        "a span of joined conditions is a millisecond too long",
        "beta/selector.py",
        "(look.now - self.window + 1,)",
        "(look.now - self.window,)",
    ),
    Mutant(
        "an event at the time of the since event is joined though it came before",
        "beta/selector.py",
        "(resets[-1][0], resets[-1][1] + 1)",
        "(resets[-1][0],)",
    ),
    Mutant(
        "a step of a sequence may not follow within a millisecond",
        "beta/binders.py",
        "after = (positions[-1][0], positions[-1][1] + 1) if positions else begin",
        "after = (positions[-1][0] + 1,) if positions else begin",
    ),
    Mutant(
        "one event makes two steps of a sequence",
        "beta/binders.py",
        "after = (positions[-1][0], positions[-1][1] + 1) if positions else begin",
        "after = positions[-1] if positions else begin",
    ),
    Mutant(
        "of equal keys the latest to reach the value is the highest",
        "beta/binders.py",
        "one[0] == other[0] and one[1] < other[1]",
        "one[0] == other[0] and one[1] > other[1]",
    ),
    Mutant(
        "combinations are in no order",
        "session/combinations.py",
        "    made.sort(key=_order)\n",
        "    made.sort(key=_order, reverse=True)\n",
    ),
    Mutant(
        "a snapshot takes an unknown combination for a true one",
        "session/snapshot.py",
        "state.tokens = {tuple(map(value_of, values)): truth for truth, *values in tokens}",
        "state.tokens = {tuple(map(value_of, values)): True for truth, *values in tokens}",
    ),
    Mutant(
        "a hash of events by value misses those that come later",
        "memory/alphas.py",
        "_place(buckets.setdefault(entry[2].get(attribute), []), entry)",
        "buckets.setdefault(entry[2].get(attribute), [])",
    ),
    Mutant(
        "an absence lasts a millisecond past its end",
        "beta/pattern_compiler.py",
        "age >= until",
        "age > until",
    ),
    Mutant(
        "an absence is ended by what came before it",
        "beta/pattern_compiler.py",
        "of.matching(look, env, (latest[0], latest[1] + 1))",
        "of.matching(look, env, ())",
    ),
    Mutant(
        "the timer of an absence is lost",
        "beta/pattern_compiler.py",
        "        self._role(after, offsets)\n",
        "        self._role(after)\n",
    ),
    Mutant(
        "a bound attribute that is missing is equal to another that is",
        "beta/selector.py",
        "if value is None and not link.is_own:",
        "if False:",
    ),
    Mutant(
        "above a whole number needs no more than the number",
        "reports/distances.py",
        "away += 1 if operator is Operator.ABOVE else -1",
        "away += 0 if operator is Operator.ABOVE else -1",
    ),
    Mutant(
        "what the catalogue lets a new rule assert is not asserted",
        "session/steps.py",
        "if compiled.strata:",
        "if not compiled.strata:",
    ),
    Mutant(
        "of the keys that do not pass, the one that lacks most is told",
        "reports/explain_joined.py",
        "return min(entries, key=far, default=None)",
        "return max(entries, key=far, default=None)",
    ),
    Mutant(
        "of the keys that pass, the last is told",
        "reports/explain_joined.py",
        "return truth, min(firsts, key=_order)[1] if firsts else None",
        "return truth, max(firsts, key=_order)[1] if firsts else None",
    ),
    Mutant(
        "of the combinations that hold, the last is told",
        "reports/explain_joined.py",
        "                return min(firsts, key=_order)[1]\n",
        "                return max(firsts, key=_order)[1]\n",
    ),
    Mutant(
        "the events that hold a key are all of the span",
        "reports/explain_joined.py",
        "held = [event for event in events if selects(own.of, event, view.fact)]",
        "held = list(events)",
    ),
    Mutant(
        "a report on a bound event looks at any event",
        "conditions/grounding.py",
        "return replace(found, where=(*found.where, *tests))",
        "return found",
    ),
    Mutant(
        "what is required of a joined test names the other side, not its value",
        "reports/explain.py",
        "test if operand is None else ground)",
        "test)",
    ),
    Mutant(
        "an aggregate that is unknown for want of events does not exist",
        "conditions/existing.py",
        "else value(Presence(aggregate.of, aggregate.span))",
        "else value(aggregate) is not None",
    ),
    Mutant(
        "what only an offer looks at is a step",
        "session/steps.py",
        "values.get(index, compiled.defaults[index]) == old or index in compiled.offered",
        "values.get(index, compiled.defaults[index]) == old",
    ),
)
