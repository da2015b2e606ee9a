"""durable_rules: an event is posted to its session. It is gone with the first rule that takes it, so that fewer fire."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence


def measure(rules: Sequence[tuple[int, int, int]], events: Sequence[Mapping[str, int]]) -> tuple[float, int]:
    """CPU microseconds for an event, and how many rules fired."""
    from durable.lang import m, post, ruleset, when_all  # noqa: PLC0415 - an extra

    fired = 0
    with ruleset("three"):
        for category, price, size in rules:

            @when_all((m.category == f"c{category}") & (m.price > price) & (m.size >= size))  # type: ignore[untyped-decorator]
            def matched(context: object) -> None:
                nonlocal fired
                fired += 1

    plain = [
        {
            "id": number,
            "sid": str(event["session"]),
            "category": f"c{event['category']}",
            "price": event["price"],
            "size": event["size"],
        }
        for number, event in enumerate(events)
    ]
    began = time.process_time()
    for event in plain:
        try:
            post("three", event)
        except Exception as problem:
            if type(problem).__name__ != "MessageNotHandledException":
                raise
    return (time.process_time() - began) / len(plain) * 1e6, fired
