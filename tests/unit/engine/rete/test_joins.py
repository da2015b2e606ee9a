"""What bound names join: combinations, keys, sequences and absences, through time, snapshots and reloads."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.activation import ScoreStatus
from engine.language.tree import All
from engine.rete import Network
from engine.rete.beta.binders import KeyBinder
from engine.rete.session import snapshot
from engine.values import Value
from tests.unit.engine.rete.shop import DAY, MINUTE, SECOND, START, Session, program, told

LIKED = """
- rule: liked
  when:
    all:
      - {count: viewed, per: category, within: 10 minutes, at_least: 2, as: liked}
      - {not: {event: added, where: {category: $liked.category}}}
  then: [{trigger: t, payload: "{liked.category}, {liked.value} times"}]
"""


class Joining(Session):
    """A session that says for which combinations rules hold."""

    def sends(self, at: int, kind: str, **attributes: Value) -> list[object]:
        """The payloads that an event makes the session send."""
        event = self.event(at, kind, **attributes)
        step = self.network.insert(self.memory, event, self.scoring)
        assert not step.failures
        return [message.payload for each in step.activations for message in each.triggers]

    def with_names(self, at: int) -> list[dict[str, Value]]:
        view = self.looks(at)
        return [dict(each.bindings) for rule in view.holding() for each in view.combinations(rule)]


def test_a_rule_acts_once_for_each_key_and_says_which() -> None:
    session = Joining(LIKED)
    assert session.sends(0, "viewed", category="shoes") == []
    assert session.sends(1, "viewed", category="hats") == []
    assert session.sends(2, "viewed", category="hats") == ["hats, 2 times"]
    assert session.sends(3, "viewed", category="shoes") == ["shoes, 2 times"]
    assert session.sends(4, "viewed", category="shoes") == []
    assert session.with_names(4) == [{"liked.category": "shoes"}, {"liked.category": "hats"}]


@pytest.mark.interpreted
@pytest.mark.parametrize("span", ["within: 500 ms", "since: checkout", "at_least: 0"])
def test_of_the_highest_only_the_keys_are_looked_at_that_an_event_touches(
    span: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 200 keys: the one of the event, and the one of an event that leaves; the highest is the same all the same."""
    looked_at: list[object] = []
    own_entries = KeyBinder._own_entries

    def noted(self: KeyBinder, key: Value, *rest: Any) -> list[Any]:
        looked_at.append(key)
        return own_entries(self, key, *rest)

    monkeypatch.setattr(KeyBinder, "_own_entries", noted)
    session = Joining(f"""
- rule: favourite
  when: {{count: viewed, per: category, {span}, above: 1, take: highest, as: liked}}
  then: [{{trigger: t, payload: "{{liked.category}}"}}]
""")
    for number in range(200):
        session.sends(number, "viewed", category=f"c{number}")
    looked_at.clear()
    assert session.sends(200, "viewed", category="c7") == ["c7"]
    assert session.sends(201, "viewed", category="c9") == []  # as high, and later
    assert session.sends(202, "viewed", category="c9") == ["c9"]
    assert looked_at == ["c7", "c9", "c9"]
    session.restored()
    assert session.sends(203, "viewed", category="c7") == []
    assert session.sends(204, "viewed", category="c7") == ["c7"]
    if span.startswith("within"):
        looked_at.clear()
        session.waits(509)
        assert set(looked_at) == {f"c{number}" for number in range(10)}
        assert session.with_names(702) == [{"liked.category": "c7"}]
        assert session.with_names(703) == []
    if span.startswith("since"):
        session.sends(205, "checkout")
        assert session.with_names(205) == []
        session.sends(206, "viewed", category="c3")
        assert session.sends(207, "viewed", category="c3") == ["c3"]


def test_what_ends_one_combination_leaves_the_others() -> None:
    session = Joining(LIKED)
    for at, category in enumerate(("shoes", "hats", "shoes", "hats")):
        session.sends(at, "viewed", category=category)
    session.sends(5, "added", category="shoes")
    assert session.with_names(5) == [{"liked.category": "hats"}]
    session.restored()
    assert session.with_names(5) == [{"liked.category": "hats"}]


def test_a_combination_that_ended_by_time_and_comes_again_acts_again() -> None:
    session = Joining(LIKED)
    session.sends(0, "viewed", category="hats")
    assert session.sends(1, "viewed", category="hats") == ["hats, 2 times"]
    assert session.waits(DAY) == []
    session.sends(DAY, "viewed", category="hats")
    assert session.sends(DAY + 1, "viewed", category="hats") == ["hats, 2 times"]


def test_a_new_event_that_takes_the_place_of_one_that_leaves_at_its_moment_is_no_edge() -> None:
    session = Joining(LIKED)
    session.sends(0, "viewed", category="hats")
    session.sends(1, "viewed", category="hats")
    assert session.sends(10 * MINUTE, "viewed", category="hats") == []


def test_what_is_joined_survives_a_reload_that_keeps_the_rule_and_fires_where_it_is_new() -> None:
    session = Joining(LIKED)
    session.sends(0, "viewed", category="hats")
    session.sends(1, "viewed", category="hats")
    other = "- {rule: other, when: {event: viewed, as: seen}, then: [{trigger: t, payload: '{seen.category}'}]}"
    session.restored(LIKED + other)
    assert session.sends(2, "checkout") == ["hats"]
    assert session.with_names(2) == [{"liked.category": "hats"}, {"seen.category": "hats"}]


def test_an_absence_acts_at_its_moment_and_is_a_timer_until_then() -> None:
    session = Session("""
    - {rule: help, when: {absence: {of: purchase, after: added, for: 15 minutes, until: 1 hour}}, then: [{trigger: t}]}
    """)
    session.happens(0, "added")
    assert session.due() == 15 * MINUTE
    session.restored()
    assert session.due() == 15 * MINUTE
    assert session.waits(15 * MINUTE - 1) == []
    assert session.looks(15 * MINUTE - 1).valid_until() == START + 15 * MINUTE
    assert session.waits(15 * MINUTE) == [f"help@{15 * MINUTE}"]
    assert session.looks(15 * MINUTE).valid_until() == START + 60 * MINUTE
    assert session.holds(60 * MINUTE - 1) == ["help"]
    assert session.holds(60 * MINUTE) == []


def test_an_absence_under_not_acts_when_it_is_over() -> None:
    session = Session("""
    - rule: over
      when: {all: [{event: added}, {not: {absence: {of: purchase, after: added, for: 1 minute, until: 2 minutes}}}]}
      then: [{trigger: t}]
    """)
    assert session.happens(0, "added") == ["over@0"]
    assert session.waits(5 * MINUTE) == [f"over@{2 * MINUTE}"]


def test_a_sequence_needs_its_order_and_says_how_far_it_came() -> None:
    session = Session("""
    - {rule: row, when: {sequence: [viewed, added, checkout], within: 1 minute}, then: [{trigger: t}]}
    """)
    session.happens(0, "added")
    session.happens(1, "viewed")
    session.happens(2, "checkout")
    report = session.looks(3).explain(session.program.rules[0])
    assert report.condition.actual == "1 of 3 seen"
    assert report.condition.distance == "1 of 3 seen, added is next"
    assert session.happens(4, "added") == []
    assert session.happens(5, "checkout") == ["row@5"]
    report = session.looks(6).explain(session.program.rules[0])
    assert report.condition.events == (("viewed", START + 1), ("added", START + 4), ("checkout", START + 5))


def test_a_report_tells_the_key_that_comes_nearest_and_what_it_lacks() -> None:
    session = Joining("""
    - {rule: often, when: {count: viewed, per: category, at_least: 4, within: 1 minute, as: liked}, then: [{trigger: t}]}
    """)
    (rule,) = session.program.rules
    (report,) = session.looks(0).explain(rule).failing
    assert (report.actual, report.required, report.distance) == (None, "at least 4", "no category yet")
    session.sends(0, "viewed", category="shoes")
    for at in (1, 2):
        session.sends(at, "viewed", category="hats")
    (report,) = session.looks(3).explain(rule).failing
    assert (report.actual, report.required, report.distance) == ("2 for category hats", "at least 4", "2 more")
    for at in (4, 5):
        session.sends(at, "viewed", category="hats")
    report = session.looks(6).explain(rule).condition
    assert report.actual == "4 for category hats"
    assert report.events == tuple(("viewed", START + at) for at in (1, 2, 4, 5))


def test_a_report_tells_the_combination_that_comes_nearest() -> None:
    session = Joining(LIKED)
    session.sends(0, "viewed", category="shoes")
    for at in (1, 2):
        session.sends(at, "viewed", category="hats")
    session.sends(3, "added", category="hats")
    report = session.looks(4).explain(session.program.rules[0])
    assert report.truth is False
    assert report.bindings == (("liked.category", "hats"), ("liked.value", 2))
    assert report.near_miss
    assert [leaf.kind for leaf in report.failing] == ["seen"]


def test_events_that_are_not_kept_leave_open_what_they_may_have_said() -> None:
    rules = "- {rule: few, when: {not: {sequence: [viewed, checkout]}}, then: [{trigger: t}]}"
    session = Session(rules, keep_events=3)
    session.happens(0, "viewed")
    assert session.holds(0) == ["few"]
    for at in (1, 2, 3):
        session.happens(at, "added")
    assert session.looks(3).truth(session.program.rules[0].when) is None
    session.restored()
    assert session.looks(3).truth(session.program.rules[0].when) is None


def test_what_was_dropped_is_forgiven_when_it_would_have_left_the_window() -> None:
    rules = "- {rule: few, when: {not: {sequence: [viewed, checkout], within: 1 minute}}, then: [{trigger: t}]}"
    session = Session(rules, keep_events=2)
    session.happens(0, "viewed")
    for at in (1, 2):
        session.happens(at, "added")
    assert session.holds(3) == []
    assert session.waits(2 * MINUTE) == [f"few@{MINUTE}"]


def test_either_a_bound_name_or_a_score_acts_once_for_each_combination() -> None:
    session = Joining("""
    - rule: either
      when:
        all:
          - {event: viewed, as: seen}
          - any:
            - {event: added, where: {category: $seen.category}}
            - {score: intent, at_least: 0.7, if_unavailable: skip}
      then: [{trigger: t, payload: "{seen.category}"}]
    """)
    session.answers["intent"] = 0.1
    assert session.sends(0, "viewed", category="hats") == []
    assert session.sends(1, "viewed", category="shoes") == []
    assert session.sends(2, "added", category="hats") == ["hats"]
    session.restored()
    session.answers["intent"] = 0.9
    assert session.sends(3, "viewed", category="shoes") == ["shoes"]
    session.answers["intent"] = ScoreStatus.MISSING
    assert session.sends(4, "viewed", category="caps") == []


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1), (1, 3, 0, 2)])
def test_four_joined_conditions_with_a_negated_one_hold_in_any_order_of_events(order: tuple[int, ...]) -> None:
    session = Joining("""
    - rule: whole
      when:
        all:
          - {event: viewed, as: seen}
          - {event: added, where: {category: $seen.category}, as: put}
          - {event: removed, where: {price: $put.price}}
          - {not: {event: purchase, where: {total: $put.price}}}
      then: [{trigger: t, payload: "{seen.category}"}]
    """)
    happenings: list[tuple[str, dict[str, Value]]] = [
        ("viewed", {"category": "hats"}),
        ("added", {"category": "hats", "price": 500}),
        ("removed", {"price": 500}),
        ("added", {"category": "shoes", "price": 500}),
    ]
    sent: list[object] = []
    for at, which in enumerate(order):
        kind, attributes = happenings[which]
        sent += session.sends(at, kind, **attributes)
    assert sent == ["hats"]
    session.sends(6, "purchase", total=500)
    assert session.with_names(6) == []


def test_a_catalogue_is_asked_when_something_happens_and_at_each_request() -> None:
    session = Joining("""
    - rule: scarce
      when: {all: [{event: viewed, as: seen}, {fact: product.stock, of: $seen.category, below: 5}]}
      then: [{trigger: t, payload: "{product.stock of seen.category} left"}]
    """)
    stock: dict[Value, int] = {"hats": 7}

    def look_up(fact: str, key: Value) -> Value | None:
        return stock.get(key) if fact == "product.stock" else None

    network, memory = session.network, session.memory
    first = network.insert(memory, session.event(0, "viewed", category="hats"), session.scoring, look_up)
    assert first.activations == ()
    stock["hats"] = 4
    assert [rule.name for rule in network.view(memory, START, {}, session.scoring, look_up).holding()] == ["scarce"]
    assert told(network.advance(memory, START + SECOND, session.scoring, look_up)) == []
    again = network.insert(memory, session.event(2 * SECOND, "viewed", category="hats"), session.scoring, look_up)
    assert [message.payload for each in again.activations for message in each.triggers] == ["4 left"]


def test_a_name_that_nothing_binds_breaks_its_rule_alone() -> None:
    session = Session("""
    - {rule: fine, when: {event: viewed}, then: [{trigger: t}]}
    - {rule: broken, when: {all: [{event: viewed, as: seen}, {event: added, where: {category: $seen.category}}]}, then: [{trigger: t}]}
    """)
    broken = session.program.rules[1]
    assert isinstance(broken.when, All)
    rules = (session.program.rules[0], replace(broken, when=broken.when.parts[1]))
    session.network = Network.build(replace(session.program, rules=rules))
    session.memory = session.network.open("s")
    step = session.network.insert(session.memory, session.event(0, "viewed"), session.scoring)
    assert [each.rule for each in step.activations] == ["shop.fine"]
    assert [failure.error for failure in step.failures] == ["ValueError: ValueError: nothing binds seen"]


def test_a_fact_that_rests_on_the_catalogue_is_asserted_by_a_rule_that_came_with_a_reload() -> None:
    """From the reload on, as soon as the catalogue can be asked; that is no edge of a rule that looks at it."""
    buys = """
- rule: lost
  when: {fact: shopper.lost, is: true}
  then: [{trigger: t}]
- rule: buys_all_the_same
  when: {all: [{fact: shopper.lost, is: true}, {event: purchase, within: 1 minute}]}
  then: [{trigger: t}]
"""
    stocked = """
- rule: stocked
  when: {all: [{event: viewed, as: seen}, {fact: product.stock, of: $seen.category, above: 3}]}
  then: [{assert: shopper.lost}]
"""

    def catalogue(fact: str, key: Value) -> Value | None:
        return 5

    session = Session(buys)
    session.happens(1, "viewed", category="shoes")
    session.restored(buys + stocked)
    for at, kind, acts in ((2, "checkout", ["stocked@2"]), (3, "purchase", ["buys_all_the_same@3"])):
        event = session.event(at, kind)
        assert told(session.network.insert(session.memory, event, session.scoring, catalogue)) == acts


@pytest.mark.interpreted
def test_a_key_whose_events_are_all_kept_stays_exact_though_those_of_others_went(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What lacks an event is unknown; so are all keys of a session that was stored before it was noted which do."""
    rules = """
- rule: liked
  when: {count: viewed, per: category, within: 60 ms, at_least: 2, as: liked}
  then: [{trigger: t, payload: "{liked.category}"}]
- rule: others
  when: {not: {count: viewed, per: category, within: 60 ms, at_least: 2}}
  then: [{trigger: t}]
"""
    session = Joining(program(rules, keep_events=3))
    for at, category in enumerate(("shoes", "hats", "shoes")):
        session.sends(at, "viewed", category=category)
    assert session.with_names(2)[0] == {"liked.category": "shoes"}
    session.sends(3, "viewed", category="hats")  # the first pair of shoes is not kept any more
    assert session.with_names(3) == [{"liked.category": "hats"}]
    stored = session.network.snapshot(session.memory)
    session.restored()
    assert session.with_names(3) == [{"liked.category": "hats"}]
    assert session.network.snapshot(session.memory) == stored
    assert session.sends(4, "viewed", category="socks") == []  # nor the first hat
    assert session.with_names(4) == []
    assert session.sends(5, "viewed", category="socks") == ["socks"]
    assert session.looks(59).truth(session.program.rules[1].when) is False
    assert session.with_names(63) == [{"liked.category": "socks"}]
    pack = snapshot._pack_pattern
    monkeypatch.setattr(snapshot, "_pack_pattern", lambda *state: pack(*state)[:6])
    session.restored()
    session.sends(6, "viewed", category="socks")
    assert session.looks(6).truth(session.program.rules[0].when) is None
    assert session.with_names(6) == []
    session.sends(64, "viewed", category="socks")
    session.sends(65, "viewed", category="socks")
    assert session.with_names(65) == [{"liked.category": "socks"}]  # what went is over
