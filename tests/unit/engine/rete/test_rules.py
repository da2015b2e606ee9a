"""What rules do: unknown facts, scores, derived facts, gates, limits, failures and reasons."""

from __future__ import annotations

from dataclasses import replace

from engine.activation import ScoreStatus
from engine.language.tree import NOWHERE, FactRef, Operator, Schedule, Test
from engine.rete import Network
from tests.unit.engine.rete.shop import MINUTE, SECOND, START, Session, program


def test_a_fact_that_nobody_knows_makes_neither_the_test_nor_its_opposite_true() -> None:
    session = Session("""
    - {rule: gold, when: {fact: customer.tier, is: gold}, then: [{trigger: t}]}
    - {rule: other, when: {not: {fact: customer.tier, is: gold}}, then: [{trigger: t}]}
    - {rule: nobody, when: {fact: customer.tier, exists: false}, then: [{trigger: t}]}
    """)
    assert session.happens(0, "viewed") == ["nobody@0"]
    assert session.learns(1, {"customer.tier": "silver"}) == ["other@1"]
    assert session.learns(2, {"customer.tier": "gold"}) == ["gold@2"]
    assert session.learns(3, {"customer.tier": None}) == ["nobody@3"]


def test_a_request_fact_is_known_at_the_request_only() -> None:
    session = Session("- {rule: home, when: {fact: context.page, is: home}, then: [{trigger: t}]}")
    assert session.happens(0, "viewed") == []
    assert session.holds(0, context_page="home") == ["home"]
    assert session.holds(0) == []


ASKING = """
- rule: likely
  when: {all: [{event: checkout, within: 5 minutes}, {score: intent, at_least: 0.7, release_below: 0.5, if_unavailable: skip}]}
  then: [{trigger: t}]
"""


def test_a_model_is_asked_only_where_its_answer_decides() -> None:
    session = Session(ASKING)
    session.answers["intent"] = 0.9
    session.happens(0, "viewed")
    assert session.asked == 0
    assert session.happens(1, "checkout") == ["likely@1"]
    assert session.asked == 1


def test_a_model_is_not_asked_again_while_nothing_that_it_sees_has_changed() -> None:
    session = Session(ASKING)
    session.answers["intent"] = 0.9
    session.happens(0, "checkout")
    session.happens(1, "checkout")
    session.happens(2, "checkout")
    assert session.asked == 1
    session.happens(3, "viewed")  # a feature counts it
    assert session.asked == 2


def test_a_score_that_is_high_enough_stays_so_until_it_is_released() -> None:
    session = Session(ASKING)
    said = []
    session.answers["intent"] = 0.6
    session.happens(0, "checkout")
    for second, answer in enumerate((0.6, 0.7, 0.6, 0.5, 0.49, 0.6, 0.7)):
        session.answers["intent"] = answer
        said.append(session.happens(second * SECOND, "viewed") or session.holds(second * SECOND))
        session.restored()
    assert said == [[], ["likely@1000"], ["likely"], ["likely"], [], [], ["likely@6000"]]


def test_what_stands_in_for_a_model_that_does_not_answer() -> None:
    session = Session("""
    - {rule: skipped, when: {score: intent, below: 0.4, if_unavailable: skip}, then: [{trigger: t}]}
    - {rule: not_skipped, when: {not: {score: intent, below: 0.4, if_unavailable: skip}}, then: [{trigger: t}]}
    - {rule: assumed, when: {score: intent, below: 0.4, if_unavailable: assume true}, then: [{trigger: t}]}
    - {rule: refused, when: {not: {score: intent, below: 0.4, if_unavailable: assume false}}, then: [{trigger: t}]}
    - {rule: known, when: {score: intent, below: 0.4, if_unavailable: last known for 60 seconds}, then: [{trigger: t}]}
    """)
    session.answers["intent"] = ScoreStatus.DEADLINE
    assert session.happens(0, "viewed") == ["assumed@0", "refused@0"]
    session.answers["intent"] = 0.1
    assert session.happens(1, "viewed") == ["skipped@1", "known@1"]
    session.answers["intent"] = ScoreStatus.ERROR
    session.happens(2, "viewed")
    assert session.holds(2) == ["assumed", "refused", "known"]
    assert session.holds(MINUTE) == ["assumed", "refused", "known"]
    assert session.holds(MINUTE + 1) == ["assumed", "refused"]


def test_a_pending_score_is_unknown_and_listed() -> None:
    session = Session(ASKING)
    session.answers["intent"] = ScoreStatus.PENDING
    session.happens(0, "checkout")
    view = session.looks(0)
    assert view.holding() == ()
    assert [(name, answer.status) for name, answer in view.scores] == [("intent", ScoreStatus.PENDING)]


DERIVED = """
- {rule: buyer, when: {not: {fact: shopper.keen, is: true}}, then: [{trigger: t}]}
- {rule: keen, when: {event: checkout, within: 1 minute}, then: [{assert: shopper.keen, value: true}]}
- {rule: told, when: {fact: shopper.keen, is: true}, then: [{trigger: t}]}
"""


def test_a_derived_fact_comes_and_goes_with_the_rules_that_assert_it() -> None:
    session = Session(DERIVED)
    assert session.happens(0, "viewed") == ["buyer@0"]
    assert session.happens(1, "checkout") == ["keen@1", "told@1"]
    assert session.looks(1).fact("shopper.keen") is True
    assert session.waits(2 * MINUTE) == [f"buyer@{MINUTE + 1}"]
    assert session.looks(2 * MINUTE).fact("shopper.keen") is False


def test_derived_facts_that_support_each_other_are_withdrawn_together() -> None:
    session = Session("""
    - {rule: first, when: {event: checkout, within: 1 minute}, then: [{assert: shopper.keen, value: true}]}
    - {rule: there, when: {fact: shopper.keen, is: true}, then: [{assert: shopper.lost, value: true}]}
    - {rule: back, when: {fact: shopper.lost, is: true}, then: [{assert: shopper.keen, value: true}]}
    """)
    assert session.happens(0, "checkout") == ["first@0", "there@0", "back@0"]
    session.waits(MINUTE)
    assert session.holds(MINUTE) == []


def test_of_rules_that_assert_different_values_the_first_in_order_of_acting_wins() -> None:
    session = Session("""
    - {rule: low, when: {event: viewed}, then: [{assert: shopper.level, value: 1}]}
    - {rule: high, priority: 5, when: {event: checkout, within: 1 minute}, then: [{assert: shopper.level, value: 2}]}
    """)
    assert session.looks(0).fact("shopper.level") is None
    session.happens(0, "viewed")
    assert session.looks(0).fact("shopper.level") == 1
    session.happens(1, "checkout")
    assert session.looks(1).fact("shopper.level") == 2
    assert session.looks(MINUTE + 1).fact("shopper.level") == 1


def test_a_rule_that_feeds_its_own_opposite_is_named_and_the_others_are_decided() -> None:
    """The checker refuses it; a network that gets it all the same stays up."""
    checked = program("""
    - {rule: keen, when: {event: viewed}, then: [{assert: shopper.keen, value: true}]}
    - {rule: fine, when: {event: viewed}, then: [{trigger: t}]}
    """)
    paradox = replace(checked.rules[0], when=Test(FactRef("shopper.keen"), Operator.IS, False))
    session = Session(replace(checked, rules=(paradox, checked.rules[1])))
    step = session.network.insert(session.memory, _event(session, "viewed"), session.scoring)
    assert [each.rule for each in step.activations] == ["shop.fine"]
    assert [each.rule for each in step.failures] == ["shop.keen"]
    assert "did not settle" in step.failures[0].error


def test_a_rule_whose_test_raises_does_not_stop_the_others() -> None:
    checked = program("""
    - {rule: broken, when: {fact: customer.tier, is: gold}, then: [{trigger: t}]}
    - {rule: fine, when: {fact: customer.tier, is: gold}, then: [{trigger: t}]}
    """)
    for when in (
        Test(FactRef("customer.tier"), Operator.ABOVE, 5, NOWHERE),
        Test(FactRef("customer.tier"), Operator.MATCHES, "(", NOWHERE),
    ):
        session = Session(replace(checked, rules=(replace(checked.rules[0], when=when), checked.rules[1])))
        session.network.insert(session.memory, _event(session, "viewed"), session.scoring)
        step = session.network.set_facts(session.memory, {"customer.tier": "gold"}, START, session.scoring)
        assert [each.rule for each in step.activations] == ["shop.fine"]
        assert [each.rule for each in step.failures] == ["shop.broken"]
        view = session.looks(1)
        assert [rule.name for rule in view.holding()] == ["fine"]
        assert [each.rule for each in view.failures] == ["shop.broken"]


def test_a_limit_per_session_holds_an_act_back_and_says_so() -> None:
    session = Session("""
    - {rule: once, when: {event: checkout, within: 1 second}, then: [{trigger: t}], limits: {per_session: 1}}
    """)
    assert session.happens(0, "checkout") == ["once@0"]
    session.restored()
    assert session.happens(5 * SECOND, "checkout") == ["once@5000 (session limit)"]


def test_a_rule_that_is_switched_off_holds_but_does_not_act() -> None:
    session = Session("- {rule: off, enabled: false, when: {event: checkout}, then: [{trigger: t}]}")
    assert session.happens(0, "checkout") == ["off@0 (switched off)"]
    assert session.looks(0).explain(session.program.rules[0]).held_back == "switched off"


def test_a_rule_that_holds_when_its_schedule_opens_acts_at_the_next_look_at_the_session() -> None:
    checked = program("- {rule: sale, when: {event: checkout}, then: [{trigger: t}]}")
    rule = replace(checked.rules[0], schedule=Schedule(START + MINUTE, START + 2 * MINUTE))
    session = Session(replace(checked, rules=(rule,)))
    assert session.happens(0, "checkout") == ["sale@0 (schedule)"]
    assert session.happens(SECOND, "viewed") == []
    assert session.looks(SECOND).valid_until() == START + MINUTE
    assert session.happens(MINUTE, "viewed") == [f"sale@{MINUTE}"]
    assert session.happens(MINUTE + 1, "viewed") == []


def test_a_report_says_what_is_missing_and_how_far_it_is() -> None:
    session = Session("""
    - rule: nudge
      when:
        all:
          - {fact: cart.value, at_least: 200}
          - {event: checkout, within: 5 minutes}
          - {fact: customer.tier, is: gold}
      then: [{trigger: t}]
    """)
    session.happens(0, "checkout")
    session.happens(MINUTE, "added", price=13_800)
    report = session.looks(7 * MINUTE).explain(session.program.rules[0])
    cart, checkout, tier = report.condition.parts
    assert (cart.truth, cart.actual, cart.required, cart.distance) == (
        False,
        "138.00 EUR",
        "at least 200.00 EUR",
        "62.00 EUR more",
    )
    assert (checkout.truth, checkout.distance) == (False, "seen 7 min ago, needs 5 min")
    assert (tier.truth, tier.missing) == (None, "customer.tier")
    assert [leaf.subject for leaf in report.failing] == ["cart.value", "checkout", "customer.tier"]
    assert not report.near_miss


def test_a_near_miss_is_a_rule_that_one_condition_keeps_from_holding() -> None:
    session = Session("""
    - {rule: nudge, when: {all: [{fact: cart.value, above: 10}, {event: checkout}]}, then: [{trigger: t}]}
    """)
    session.happens(0, "checkout")
    report = session.looks(0).explain(session.program.rules[0])
    assert report.near_miss
    assert [leaf.distance for leaf in report.failing] == ["10.01 EUR more"]


def test_a_condition_that_no_rule_has_is_answered_from_the_kept_events() -> None:
    session = Session("- {rule: any, when: {event: checkout}, then: [{trigger: t}]}")
    other = program("- {rule: x, when: {count: viewed, where: {category: shoes}, at_least: 2}, then: [{trigger: t}]}")
    session.happens(0, "viewed", category="shoes")
    session.happens(1, "viewed", category="hats")
    assert session.looks(1).truth(other.rules[0].when) is False
    session.happens(2, "viewed", category="shoes")
    assert session.looks(2).truth(other.rules[0].when) is True


def test_a_view_changes_nothing() -> None:
    session = Session(ASKING + DERIVED.replace("rule: ", "rule: d_"))
    session.answers["intent"] = 0.9
    session.happens(0, "checkout")
    before = session.network.snapshot(session.memory)
    view = session.looks(10 * MINUTE)
    view.holding()
    view.valid_until()
    view.explain(session.program.rules[0])
    assert session.network.snapshot(session.memory) == before


def test_a_trigger_carries_the_facts_of_its_moment_or_is_not_sent() -> None:
    session = Session(
        "- {rule: mail, when: {event: checkout}, then: [{trigger: mail, payload: {text: 'in it {cart.value}'}}]}"
    )
    session.happens(0, "added", price=1250)
    step = session.network.insert(session.memory, _event(session, "checkout"), session.scoring)
    assert step.activations[0].triggers[0].payload == {"text": "in it 12.50 EUR"}


def test_equal_conditions_of_many_rules_are_one_node() -> None:
    checked = program(
        "\n".join(
            f"- {{rule: r{number}, when: {{count: viewed, within: 10 minutes, at_least: {number + 1}}}, then: [{{trigger: t}}]}}"
            for number in range(20)
        )
    )
    compiled = Network.build(checked)._compiled
    assert len(compiled.nodes) == 2  # the feature cart.value, and one count that is the feature views.recent, too


def _event(session: Session, kind: str):
    from engine.event import Event

    return Event("x", kind, "s", session.memory.clock or START, None, {})
