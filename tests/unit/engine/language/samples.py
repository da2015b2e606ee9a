"""Ruleset folders that the tests of the language share."""

from engine.language import check, render
from engine.language.tree import Condition, Program, Rule

VOCABULARY = """\
currency: EUR
timezone: Europe/Berlin
session: {timeout: 30 minutes, keep_events: 500}
events:
  cart_added: {product_id: text, category: text, quantity: integer, price: money, amount: {money: quantity * price}}
  cart_removed: {product_id: text, amount: money}
  checkout_viewed: {total: money}
  product_viewed: {product_id: text, category: text}
  purchase: {total: money}
  identify: {tier: {choice: [bronze, gold]}}
facts:
  customer.tier: {choice: [bronze, silver, gold, platinum], from: profile}
  customer.country: {type: text, from: profile}
  customer.since: {type: timestamp, from: profile}
  customer.tags: {type: list of text, from: profile}
  customer.average_order: {type: money, from: profile}
  customer.consent: {type: boolean, from: profile}
  context.page: {type: text, from: request}
  shopper.hesitates: {type: boolean, from: rules}
features:
  cart.value: {sum: cart_added.amount, minus: cart_removed.amount, since: purchase}
  product.views: {count: product_viewed}
  euros_per_view: {number: cart.value / product.views}
scores:
  purchase_intent: {model: purchase_intent, within: 20 ms}
placements:
  cart_banner: {slots: 1, fallback: standard}
"""

OFFERS = """\
offers:
  free_shipping: {content: {title: "Free shipping over {cart.value}"}, cost: 4.90, value: 12.00, holdout: 5%}
  standard: {content: {title: Hello}}
"""

RULES = """\
ruleset: cart_recovery
owner: growth
rules:
  # The best one so far.
  - rule: free_shipping_nudge
    note: Free shipping for a full cart whose owner hesitates at the checkout
    priority: 50                       # higher first; 0 when absent
    schedule: {from: 2026-11-20T00:00, until: 2026-12-01T00:00, timezone: Europe/Berlin}
    when:
      all:
        - {fact: cart.value, at_least: 200}
        - {event: checkout_viewed, within: 5 minutes}
        - not: {event: purchase, within: 30 minutes}
        - {score: purchase_intent, below: 0.4, if_unavailable: skip}
    then:
      - offer: free_shipping
        placement: cart_banner
    limits: {per_session: 1, per_customer: 3 per week, total: 5000 per day, budget: 20000}
    holdout: 10%

  # Says that it is one, for other rules.
  - rule: hesitates
    when: {count: checkout_viewed, within: 10 minutes, at_least: 2}
    then:
      - {assert: shopper.hesitates}
      - {trigger: hesitating, payload: {cart: "{cart.value}", again: [1, true, null]}}
tests:
  - test: a hesitating shopper gets free shipping
    date: 2026-11-25
    customer: c1
    facts: {customer.tier: gold, customer.tags: [new, b2b]}
    events:
      - {at: 10:00:00, cart_added: {product_id: p1, quantity: 2, price: 120}}
      - {at: 10:04:00, checkout_viewed: {}}
    scores: {purchase_intent: 0.2}
    expect:
      - {at: 10:05:00, placement: cart_banner, offer: free_shipping}
      - {at: 10:09:00, placement: cart_banner, offer: standard, because: checkout_viewed left its window}
"""

SEGMENTS = """\
segments:
  loyal: {fact: customer.tier, is_one_of: [gold, platinum]}
  new: {not: {segment: loyal}}
"""

UNUSED = {"unused-offer", "unused-segment"}
"""Codes of what is in these folders for the other tests."""

FOLDER = {"vocabulary.yaml": VOCABULARY, "offers.yaml": OFFERS, "rules/cart.yaml": RULES, "segments.yaml": SEGMENTS}


def program_of(sources: dict[str, str]) -> Program:
    """The program of sources that must be right."""
    checked = check(sources)
    assert checked.program is not None, render(checked.diagnostics, sources)
    return checked.program


def program() -> Program:
    return program_of(FOLDER)


def rule_of(when: str, *, more: str = "", then: str = "{offer: free_shipping, placement: cart_banner}") -> Rule:
    """A single rule with this condition, written in flow style."""
    lines = [f"    {line}" for line in more.splitlines()]
    text = "\n".join(["ruleset: r", "rules:", "  - rule: nudge", f"    when: {when}", f"    then: {then}", *lines, ""])
    return program_of({**FOLDER, "rules/cart.yaml": text}).rules[0]


def condition_of(when: str) -> Condition:
    return rule_of(when).when


def codes_of(when: str = "{fact: cart.value, above: 100}", *, more: str = "", **files: str) -> list[str]:
    """Codes that the checker finds in a rule with this condition, and in other files by their name."""
    lines = [f"    {line}" for line in more.splitlines()]
    then = "    then: {offer: free_shipping, placement: cart_banner}"
    text = "\n".join(["ruleset: r", "rules:", "  - rule: nudge", f"    when: {when}", then, *lines, ""])
    sources = {**FOLDER, "rules/cart.yaml": text, **{f"{name}.yaml": source for name, source in files.items()}}
    return [found.code for found in check(sources).diagnostics if found.code != "unused-segment"]
