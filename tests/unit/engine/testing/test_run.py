"""Tests beside the rules: what passes, what fails, and what the person who wrote the rule is told."""

from __future__ import annotations

from dataclasses import replace

from engine.language import check
from engine.language.tree import Program, TestEvent
from engine.rete import Network
from engine.testing import Check, TestResult, examine, run_tests, weak_tests

VOCABULARY = """
currency: EUR
session: {timeout: 30 minutes, keep_events: 100}
events:
  cart_added: {product_id: text, quantity: integer, price: money, amount: {money: quantity * price}}
  checkout_viewed: {}
  purchase: {}
facts:
  customer.tier: {choice: [silver, gold], from: profile}
  context.page: {type: text, from: request}
  shopper.hesitates: {type: boolean, from: rules}
features:
  cart.value: {sum: cart_added.amount, since: purchase}
scores:
  intent: {model: intent, within: 20 ms}
placements:
  banner: {slots: 1, fallback: standard}
  note: {slots: 1, fallback: standard}
"""
OFFERS = """
offers:
  standard: {note: for all, content: {title: Delivered in two days}}
  free_shipping: {note: a nudge, content: {title: "Your {cart.value} travel free"}, cost: 5}
  points: {note: members, content: {title: "Points for {customer.tier}"}}
"""
RULES = """
ruleset: cart
owner: growth
rules:
  - rule: hesitates
    when: {count: checkout_viewed, within: 10 minutes, at_least: 2}
    then: [{assert: shopper.hesitates, value: true}]
  - rule: nudge
    priority: 10
    when:
      all:
        - {fact: cart.value, at_least: 100}
        - {event: checkout_viewed, within: 5 minutes}
        - {score: intent, below: 0.4, if_unavailable: skip}
    then: [{offer: free_shipping, placement: banner}]
    limits: {per_session: 1}
    holdout: 90%
  - rule: points
    when: {all: [{fact: customer.tier, is: gold}, {fact: context.page, is: cart}]}
    then: [{offer: points, placement: note}]
  - rule: mail
    when:
      all:
        - {event: checkout_viewed, within: 20 minutes}
        - not: {event: checkout_viewed, within: 10 minutes}
    then: [{trigger: mail, payload: {cart: "{cart.value}"}}]
    limits: {per_customer: 1 per day}
tests:
"""
FULL_CART = """
    events:
      - {at: 10:00:00, cart_added: {product_id: p1, quantity: 1, price: 120}}
      - {at: 10:04:00, checkout_viewed: {}}
"""


def run(tests: str, rules: str = RULES) -> tuple[TestResult, ...]:
    checked = check({"vocabulary.yaml": VOCABULARY, "offers.yaml": OFFERS, "cart.yaml": rules + tests})
    assert checked.program is not None, checked.diagnostics
    return run_tests(checked.program, Network.build(checked.program))


def run_one(tests: str) -> TestResult:
    (result,) = run(tests)
    return result


def only_failure(result: TestResult) -> Check:
    (failed,) = (check_ for check_ in result.checks if not check_.passed)
    return failed


def test_a_test_whose_expectations_all_come_passes() -> None:
    result = run_one(f"""
  - test: free shipping while the checkout is fresh{FULL_CART}
    scores: {{intent: 0.2}}
    expect:
      - {{at: 10:03:59, placement: banner, offer: standard}}
      - {{at: 10:04:00, placement: banner, offer: free_shipping}}
      - {{at: 10:08:59, placement: banner, offer: free_shipping}}
      - {{at: 10:09:00, placement: banner, offer: standard, because: checkout_viewed left its window}}
""")
    assert result.passed
    assert [check_.came for check_ in result.checks] == [
        "standard, the fallback",
        "free_shipping",
        "free_shipping",
        "standard, the fallback",
    ]
    assert (result.test, result.ruleset, result.file) == (
        "free shipping while the checkout is fresh",
        "cart",
        "cart.yaml",
    )


def test_a_failing_expectation_says_what_came_and_which_condition_is_nearest() -> None:
    failed = only_failure(
        run_one("""
  - test: too little
    events:
      - {at: 10:00:00, cart_added: {product_id: p1, quantity: 1, price: 38}}
      - {at: 10:04:00, checkout_viewed: {}}
    scores: {intent: 0.2}
    expect:
      - {at: 10:05:00, placement: banner, offer: free_shipping}
""")
    )
    assert failed.at == "10:05:00"
    assert failed.expected == "free_shipping in banner"
    assert failed.came == "standard, the fallback"
    (why,) = failed.why
    assert why == (
        "cart.nudge does not hold, needed: cart.value is at least 100.00 EUR; found: 38.00 EUR (62.00 EUR more)"
    )


def test_an_unwanted_offer_names_the_rule_that_shows_it() -> None:
    failed = only_failure(
        run_one(f"""
  - test: nothing wanted{FULL_CART}
    scores: {{intent: 0.2}}
    expect:
      - {{at: 10:05:00, placement: banner, offer: standard}}
""")
    )
    assert failed.came == "free_shipping"
    assert failed.why[0].startswith("cart.nudge shows free_shipping: ")


def test_a_limit_that_is_used_up_is_named() -> None:
    failed = only_failure(
        run_one(f"""
  - test: a second act{FULL_CART}      - {{at: 10:20:00, checkout_viewed: {{}}}}
    scores: {{intent: 0.2}}
    expect:
      - {{at: 10:04:00, placement: banner, offer: free_shipping}}
      - {{at: 10:10:00, placement: banner, offer: standard}}
      - {{at: 10:20:00, placement: banner, offer: free_shipping}}
""")
    )
    assert failed.at == "10:20:00"
    assert failed.why[0] == (
        "free_shipping of cart.nudge is not shown, cap: the rule's limit of once per session is used up"
    )


def test_nobody_is_held_out_of_a_test() -> None:
    """With a holdout of 90 % ten sessions out of ten would be a miracle."""
    tests = "".join(
        f"""
  - test: number {number}{FULL_CART}
    customer: c{number}
    scores: {{intent: 0.2}}
    expect: [{{at: 10:05:00, placement: banner, offer: free_shipping}}]
"""
        for number in range(10)
    )
    assert all(result.passed for result in run(tests))


def test_a_model_that_a_test_does_not_name_does_not_answer() -> None:
    result = run_one(f"""
  - test: no model{FULL_CART}
    expect:
      - {{at: 10:05:00, placement: banner, offer: standard, because: intent does not answer}}
""")
    assert result.passed


def test_because_must_name_what_the_outcome_hung_on() -> None:
    failed = only_failure(
        run_one(f"""
  - test: the wrong reason{FULL_CART}
    scores: {{intent: 0.8}}
    expect:
      - {{at: 10:05:00, placement: banner, offer: standard, because: cart.value is too low}}
""")
    )
    assert failed.expected == "standard in banner"
    assert failed.came == "standard, the fallback"
    assert failed.why[0] == "cart.value is not what keeps a rule from showing its offer"
    assert "intent" in failed.why[1]


def test_because_of_a_shown_offer_must_be_among_its_reasons() -> None:
    test = """
  - test: members
    facts: {customer.tier: gold, context.page: cart}
    expect:
      - {at: 10:05:00, placement: note, offer: points, because: REASON}
"""
    assert run_one(test.replace("REASON", "context.page is the cart")).passed
    failed = only_failure(run_one(test.replace("REASON", "cart.value is high")))
    assert failed.why[0].startswith("cart.value is not among the reasons: ")


def test_words_that_name_nothing_of_the_vocabulary_are_for_the_reader() -> None:
    result = run_one(f"""
  - test: words{FULL_CART}
    expect: [{{at: 10:05:00, placement: banner, offer: standard, because: we say so}}]
""")
    assert result.passed
    assert result.checks[0].because == "we say so"


def test_profile_facts_and_request_facts_are_there_from_the_beginning() -> None:
    result = run_one("""
  - test: members
    facts: {customer.tier: silver, context.page: cart}
    expect:
      - {at: 10:05:00, placement: note, offer: standard, because: customer.tier}
""")
    assert result.passed


def test_triggers_are_sent_when_their_moment_passes_and_once_within_their_limit() -> None:
    result = run_one("""
  - test: the mail
    customer: c1
    events:
      - {at: 10:00:00, checkout_viewed: {}}
      - {at: 10:12:00, checkout_viewed: {}}
    expect:
      - {at: 10:09:59, no_trigger: mail}
      - {at: 10:10:00, trigger: mail}
      - {at: 10:25:00, no_trigger: mail}
""")
    assert result.passed
    assert [check_.came for check_ in result.checks] == ["none sent", "mail sent at 10:10:00", "none sent"]


def test_a_trigger_that_does_not_come_is_explained() -> None:
    failed = only_failure(
        run_one("""
  - test: too early
    events: [{at: 10:00:00, checkout_viewed: {}}]
    expect: [{at: 10:05:00, trigger: mail}]
""")
    )
    assert failed.expected == "trigger mail"
    assert failed.came == "none sent"
    assert failed.why[0].startswith(
        "cart.mail does not hold, needed: not: checkout_viewed happened in the last 10 minutes; found: "
    )


def test_a_trigger_held_back_by_its_limit_says_so() -> None:
    failed = only_failure(
        run_one("""
  - test: a second mail
    customer: c1
    events:
      - {at: 10:00:00, checkout_viewed: {}}
      - {at: 10:12:00, checkout_viewed: {}}
    expect:
      - {at: 10:10:00, trigger: mail}
      - {at: 10:25:00, trigger: mail}
""")
    )
    assert failed.at == "10:25:00"
    assert failed.why[0] == "cart.mail was held back: the rule's limit of once per customer in 1 day is used up"


def test_facts_are_expected_in_the_units_of_the_vocabulary() -> None:
    result = run_one(f"""
  - test: figures{FULL_CART}      - {{at: 10:04:30, checkout_viewed: {{}}}}
    expect:
      - {{at: 10:04:00, facts: {{cart.value: 120, shopper.hesitates: false, customer.tier: unknown}}}}
      - {{at: 10:04:30, facts: {{shopper.hesitates: true}}}}
""")
    assert result.passed


def test_a_fact_that_differs_names_both_values() -> None:
    failed = only_failure(
        run_one(f"""
  - test: figures{FULL_CART}
    expect: [{{at: 10:04:00, facts: {{cart.value: 119.99, shopper.hesitates: true}}}}]
""")
    )
    assert (failed.expected, failed.came) == ("cart.value is 119.99 EUR", "120.00 EUR")


def test_a_session_ends_after_its_timeout_and_another_begins() -> None:
    result = run_one("""
  - test: half an hour of silence
    customer: c1
    facts: {customer.tier: gold, context.page: cart}
    events:
      - {at: 10:00:00, cart_added: {product_id: p1, quantity: 1, price: 120}}
    expect:
      - {at: 10:29:59, facts: {cart.value: 120}}
      - {at: 10:30:00, facts: {cart.value: 0, customer.tier: gold}}
""")
    assert result.passed


def test_an_event_that_the_vocabulary_refuses_is_a_problem_of_the_test() -> None:
    """The checker finds what it can; what only the event as a whole shows is told by the run."""
    checked = check({"vocabulary.yaml": VOCABULARY, "offers.yaml": OFFERS, "cart.yaml": RULES + FULL_TEST})
    assert checked.program is not None
    test = checked.program.tests[0]
    broken = TestEvent(test.events[0].at, "cart_added", {"quantity": "many"}, test.events[0].place)
    program = replaced(checked.program, broken)
    (result,) = run_tests(program, Network.build(program))
    assert not result.passed
    assert result.problem is not None
    assert result.problem.startswith("the cart_added at 10:00:00 is refused: cart_added.quantity ")


FULL_TEST = f"""
  - test: all{FULL_CART}
    expect: [{{at: 10:05:00, placement: banner, offer: standard}}]
"""


def replaced(program: Program, event: TestEvent) -> Program:
    return replace(program, tests=(replace(program.tests[0], events=(event,)),))


def test_times_of_several_days_are_shown_with_their_day() -> None:
    result = run_one("""
  - test: two days
    date: 2026-11-20
    events: [{at: 23:59:00, checkout_viewed: {}}]
    expect: [{at: 00:01:00 +1d, placement: banner, offer: standard}]
""")
    assert result.checks[0].at == "2026-11-21 00:01:00"


def test_a_test_that_passes_whatever_the_rules_say_is_weak() -> None:
    checked = check(
        {
            "vocabulary.yaml": VOCABULARY,
            "offers.yaml": OFFERS,
            "cart.yaml": RULES
            + """
  - test: nothing happens, nothing is expected
    events: [{at: 10:00:00, cart_added: {product_id: p1, quantity: 1, price: 1}}]
    expect: [{at: 10:05:00, placement: banner, offer: standard}]
  - test: one condition short
    events:
      - {at: 10:00:00, cart_added: {product_id: p1, quantity: 1, price: 99.99}}
      - {at: 10:04:00, checkout_viewed: {}}
    scores: {intent: 0.2}
    expect: [{at: 10:05:00, placement: banner, offer: standard}]
"""
            + FULL_TEST.replace("expect:", "scores: {intent: 0.1}\n    expect:").replace("standard", "free_shipping"),
        }
    )
    assert checked.program is not None
    (weak,) = weak_tests(checked.program)
    assert weak.test == "nothing happens, nothing is expected"
    assert weak.message.startswith("'nothing happens, nothing is expected' passes whatever the rules of cart say")


def test_what_no_test_notices_is_named_with_its_place() -> None:
    checked = check(
        {
            "vocabulary.yaml": VOCABULARY,
            "offers.yaml": OFFERS,
            "cart.yaml": RULES
            + FULL_TEST.replace("expect:", "scores: {intent: 0.1}\n    expect:").replace("standard", "free_shipping"),
        }
    )
    assert checked.program is not None
    examination = examine(checked.program)
    assert examination.weak == ()
    # Of nudge's five changes (off, three conditions, limits) one is noticed; of the other rules' nine none.
    assert examination.changes == 14
    assert len(examination.unnoticed) == 13
    messages = {f"{each.file}:{each.line}: {each.message}" for each in examination.unnoticed}
    assert (
        "cart.yaml:12: no test notices when nudge is changed so that it does not look whether "
        "cart.value is at least 100.00 EUR"
    ) in messages
    assert "cart.yaml:8: no test notices when nudge is changed so that it has no limits" in messages
    assert not any("nudge is changed so that it is switched off" in message for message in messages)


def test_times_are_told_on_the_clock_on_which_they_are_written() -> None:
    vocabulary = VOCABULARY.replace("currency: EUR", "currency: EUR\ntimezone: America/New_York")
    test = """
  - test: noon in New York
    events: [{at: 12:00:00, checkout_viewed: {}}]
    expect: [{at: 12:00:01, facts: {cart.value: 1}}, {at: 2026-06-15T16:10:00Z, trigger: mail}]
"""
    checked = check({"vocabulary.yaml": vocabulary, "offers.yaml": OFFERS, "cart.yaml": RULES + test})
    assert checked.program is not None, checked.diagnostics
    (result,) = run_tests(checked.program, Network.build(checked.program))
    assert [check_.at for check_ in result.checks] == ["12:00:01", "12:10:00"]
    assert [check_.came for check_ in result.checks] == ["0.00 EUR", "mail sent at 12:10:00"]
