"""The load: 100 rules, events of 200 bytes in sessions of 20, one trigger in 100 events. Nothing in it is random."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from engine.event import RawEvent
from engine.ports import EventLog, NewRecord, PortError

RULES = 100
SESSION_EVENTS = 20
AT_ONCE = 2_000
"""Sessions that go on side by side."""

STEP_MS = 20
"""From event to event: a session lasts 13 minutes, and ends 30 minutes later, 90,000 events on."""

NOON = 1_700_000_000_000
HOT = 5
"""Every fifth session fills its cart, and fires the rule of its category."""

VOCABULARY = """\
currency: EUR
session: {timeout: 30 minutes, keep_events: 100}
events:
  product_viewed: {product_id: text, category: text, price: money, page: text}
  cart_added: {product_id: text, category: text, price: money, page: text}
  purchase: {total: money}
features:
  views: {count: product_viewed}
  cart.value: {sum: cart_added.price, since: purchase}
"""

RULE = """\
  - rule: r{number}
    when:
      all:
        - {{fact: cart.value, at_least: {value}}}
        - {{fact: views, at_least: {views}}}
        - {{event: product_viewed, where: {{category: c{number}}}, within: 30 minutes}}
    then:
      - {{trigger: cart_full, payload: {{value: "{{cart.value}}"}}}}
    limits: {{per_session: 1}}
"""


def sources() -> dict[str, str]:
    """Vocabulary and rules."""
    rules = "".join(RULE.format(number=n, value=200 + n % 10, views=5 + n % 5) for n in range(RULES))
    return {"vocabulary.yaml": VOCABULARY, "load.yaml": f"ruleset: load\nowner: benchmark\nrules:\n{rules}"}


def record(number: int, at_once: int = AT_ONCE, step_ms: int = STEP_MS) -> NewRecord:
    """One event: the sessions of a round take turns."""
    round_, place = divmod(number, at_once * SESSION_EVENTS)
    step, slot = divmod(place, at_once)
    session_number = round_ * at_once + slot
    session = f"session-{session_number:08d}"
    adds = step >= SESSION_EVENTS - 5
    event = RawEvent(
        type="cart_added" if adds else "product_viewed",
        session_id=session,
        id=f"event-{number:010d}",
        time=NOON + number * step_ms,
        attributes={
            "product_id": f"product-{number % 977:05d}",
            "category": f"c{session_number % RULES}",
            "price": 60 if adds and session_number % HOT == 0 else 9.5,
            "page": f"/shop/{number % 7}",
        },
    )
    return NewRecord(session, msgspec.json.encode(event))


def records(first: int, count: int, at_once: int = AT_ONCE, step_ms: int = STEP_MS) -> Iterator[NewRecord]:
    """Events by number."""
    return (record(number, at_once, step_ms) for number in range(first, first + count))


def fill(log: EventLog, count: int) -> None:
    """Append the first events, and wait until they are durable; raises what an append met."""
    failed: list[PortError] = []

    def done(error: PortError | None) -> None:
        if error is not None:
            failed.append(error)

    for first in range(0, count, 5_000):
        log.append(list(records(first, min(5_000, count - first))), done)
        log.flush(60_000)
    if failed:
        raise failed[0]
