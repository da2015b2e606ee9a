"""Who draws for a trigger: the same as for a decision, over signing in and out, and over replays."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from engine.event import RawEvent
from engine.identity import OWNER, SIGNED_OUT, Identity
from engine.offers import is_held_out
from engine.ports import OutputKind, Place
from tests.unit.service.small_shop import RULES, sources
from tests.unit.service.worker.bench import NOON, Bench, loaded, record

SALT = "pepper"
THING = "rule/greeting.third"
HALF = RULES.replace(
    "    when: {fact: views, at_least: 3}", "    holdout: 50%\n    when: {fact: views, at_least: 3}"
).split("tests:\n", maxsplit=1)[0]
LIVE = loaded(sources(greeting=HALF))
LIMITED = loaded(
    sources(
        greeting=RULES.replace(
            "    when: {fact: views, at_least: 3}",
            "    limits: {per_customer: 1 per day}\n    when: {fact: views, at_least: 3}",
        )
    )
)


def one(*, held_out: bool, kind: str) -> str:
    """A name that is, or is not, held out."""
    return next(name for name in (f"{kind}{n}" for n in range(99)) if is_held_out(SALT, THING, name, 0.5) is held_out)


OUT_SESSION, IN_SESSION = one(held_out=True, kind="s"), one(held_out=False, kind="s")
OUT_CUSTOMER, IN_CUSTOMER = one(held_out=True, kind="c"), one(held_out=False, kind="c")


class Stream:
    """Events of sessions, one batch each or several at once."""

    def __init__(self, bench: Bench, live: Any = LIVE) -> None:
        self.bench, self.live, self.offset = bench, live, 0
        self.partition = bench.partition(salt=SALT)

    def views(self, session: str, *customers: str | None) -> int:
        """A view by each customer in turn, in one batch; how many triggers that brought."""
        before = len(self.bench.sent())
        values = []
        for customer in customers:
            event = RawEvent("seen", session, f"e{self.offset}", NOON + self.offset * 1000, customer, {"product": "p"})
            values.append(record(self.offset, msgspec.json.encode(event)))
            self.offset += 1
        self.partition.process(values, self.bench.equipment(self.live))
        return len(self.bench.sent()) - before


def identity(bench: Bench, customer: str) -> Identity | None:
    ((found, _),) = bench.identities.read([("-", customer)])
    assert found is None or isinstance(found, Identity)
    return found


def test_an_anonymous_session_draws_by_itself(bench: Bench) -> None:
    stream = Stream(bench)
    assert stream.views(OUT_SESSION, None, None, None) == 0
    assert stream.views(IN_SESSION, None, None, None) == 1


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize(
    ("session", "customer", "sent"), [(OUT_SESSION, IN_CUSTOMER, 0), (IN_SESSION, OUT_CUSTOMER, 1)]
)
def test_signing_in_draws_no_second_time(bench: Bench, session: str, customer: str, sent: int, batches: int) -> None:
    """Whoever signs in for the first time keeps the draw of the session, on every device."""
    stream = Stream(bench)
    if batches == 1:
        assert stream.views(session, None, customer, customer) == sent
    else:
        assert sum(stream.views(session, each) for each in (None, customer, customer)) == sent
    assert identity(bench, customer) == Identity(session, (session,))
    assert stream.views("another-device", customer, customer, customer) == sent


@pytest.mark.parametrize(("customer", "sent"), [(IN_CUSTOMER, 1), (OUT_CUSTOMER, 0)])
def test_who_was_drawn_keeps_that_draw_when_signing_in_elsewhere(bench: Bench, customer: str, sent: int) -> None:
    stream = Stream(bench)
    assert stream.views("first", customer, customer, customer) == sent
    assert identity(bench, customer) == Identity(customer)
    other = OUT_SESSION if sent else IN_SESSION
    assert stream.views(other, None, customer, customer) == sent
    assert identity(bench, customer) == Identity(customer, (other,))


def test_a_decision_and_the_stream_draw_as_one(bench: Bench) -> None:
    """What the API kept of a sign-in counts in the stream."""

    async def signed_in() -> None:
        state = bench.embedded.decision_state()
        await state.identify(IN_CUSTOMER, OUT_SESSION, was_anonymous=True)
        await state.close()

    asyncio.run(signed_in())
    assert Stream(bench).views("fresh", IN_CUSTOMER, IN_CUSTOMER, IN_CUSTOMER) == 0


@pytest.mark.parametrize(
    ("session", "customer", "sent"), [(OUT_SESSION, IN_CUSTOMER, 0), (IN_SESSION, OUT_CUSTOMER, 1)]
)
def test_who_signed_out_is_nobody_until_an_event_names_the_customer(
    bench: Bench, session: str, customer: str, sent: int
) -> None:
    stream = Stream(bench)
    stream.views(session, customer, customer)
    bench.identities.put(session, {OWNER: SIGNED_OUT}, 60_000)
    assert stream.views(session, None) == sent
    assert stream.views(session, customer) == 0, "the rule acted already"
    other = f"{session}-b"
    stream.views(other, customer, customer)
    bench.identities.put(other, {OWNER: SIGNED_OUT}, 60_000)
    assert stream.views(other, customer) == (customer == IN_CUSTOMER), "signed in again"


def test_acts_of_the_anonymous_session_count_for_the_customer(bench: Bench) -> None:
    stream = Stream(bench, LIMITED)
    assert stream.views("s", None, None, None) == 1
    stream.views("s", "c1")
    assert stream.views("t", "c1", "c1", "c1") == 0
    assert stream.views("u", "c2", "c2", "c2") == 1


def test_a_replay_that_draws_otherwise_keeps_the_places_of_the_others(bench: Bench) -> None:
    """What is held out is numbered, too, so that a later output is not taken for one that is out."""
    stream = Stream(bench)
    stream.views("a", IN_CUSTOMER, IN_CUSTOMER, IN_CUSTOMER)
    (sent,) = bench.sent()
    assert sent.place == Place(2, 0)
    stream.views("b", OUT_CUSTOMER, OUT_CUSTOMER, OUT_CUSTOMER)
    assert bench.state.position(0).brought == 1


def test_nothing_is_asked_where_it_matters_to_no_trigger(bench: Bench) -> None:
    Stream(bench, loaded()).views("s", None, "c1", "c1")
    assert bench.identities.calls == []
    assert bench.outputs.read(OutputKind.TRIGGER, 5)
