"""What every `DecisionState` promises."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.facts import FactChange
from engine.identity import Identity
from engine.ports import Cap, Claim, SessionState, SessionView, StateBatch, partition_of
from tests.contracts.backends import PARTITIONS, Stores

NOW = 1_700_000_000_000


def store_session(stores: Stores, session_id: str, state: SessionState) -> None:
    partition = partition_of(session_id, PARTITIONS)
    store = stores.state()
    store.claim(partition, 1)
    store.apply(StateBatch(partition, 1, 0, 1, {session_id: state}, [], [], 0))
    store.close()


def with_state(stores: Stores, work) -> Any:
    async def run() -> Any:
        state = stores.decision_state()
        try:
            return await work(state)
        finally:
            await state.close()

    return asyncio.run(run())


def test_an_unknown_session_is_empty(stores):
    assert with_state(stores, lambda state: state.read("nobody", None)) == SessionView(None, None, {})


def test_a_session_is_read_with_profile_and_grants(stores):
    session = SessionState(b"\x00\xff", NOW, NOW + 1, "c1")
    store_session(stores, "s1", session)
    profiles = stores.profiles()
    profiles.put({"c1": b'{"tier":"gold"}', "c2": b'{"tier":"none"}'})
    profiles.close()

    async def work(state):
        await state.put_grants("s1", {"banner": b"\x00grant", "top": b""}, 60_000)
        return [await state.read("s1", customer) for customer in ("c1", None, "c2", "c3")]

    grants = {"banner": b"\x00grant", "top": b""}
    assert with_state(stores, work) == [
        SessionView(session, b'{"tier":"gold"}', grants),
        SessionView(session, b'{"tier":"gold"}', grants),
        SessionView(session, b'{"tier":"none"}', grants),
        SessionView(session, None, grants),
    ]


def test_profiles_and_things_that_came_from_topics_are_read_like_others(stores):
    profiles, catalogue = stores.profiles(), stores.catalogue()
    profiles.follow(3, 0, [FactChange("c1", 17, b'{"tier":"gold"}'), FactChange("c2", 18, None)])
    catalogue.put({"product_id/p1": b'{"product.stock":4}'})
    catalogue.follow(
        0, 0, [FactChange("product_id/p2", 1, b'{"product.stock":0}'), FactChange("product_id/p3", 2, None)]
    )
    for each in (profiles, catalogue):
        each.close()

    async def work(state):
        things = await state.things(["product_id/p1", "product_id/p2", "product_id/p3", "product_id/p4"])
        return (
            (await state.read("s", "c1")).profile,
            (await state.read("s", "c2")).profile,
            things,
            await state.things([]),
        )

    things = {"product_id/p1": b'{"product.stock":4}', "product_id/p2": b'{"product.stock":0}'}
    assert with_state(stores, work) == (b'{"tier":"gold"}', None, things, {})


def test_grants_are_replaced_as_a_whole_and_expire(stores):
    async def work(state):
        await state.put_grants("s1", {"banner": b"1", "top": b"2"}, 60_000)
        await state.put_grants("s1", {"banner": b"3"}, 60_000)
        replaced = await state.read("s1", None)
        await state.put_grants("s1", {"banner": b"4"}, 30)
        await asyncio.sleep(0.1)
        expired = await state.read("s1", None)
        await state.put_grants("s1", {"banner": b"5"}, 60_000)
        await state.put_grants("s1", {}, 60_000)
        return replaced.grants, expired.grants, (await state.read("s1", None)).grants

    assert with_state(stores, work) == ({"banner": b"3"}, {}, {})


def test_limits_are_those_of_the_limit_store(stores):
    cap = Cap("total", 1, 1)

    async def work(state):
        (first,) = await state.take([Claim("a", (cap,))], 1, NOW, 1_000)
        (second,) = await state.take([Claim("b", (cap,))], 1, NOW, 1_000)
        return first.granted, second.refused_by, await state.confirm("a", NOW), await state.confirm("b", NOW)

    assert with_state(stores, work) == (True, "total", True, False)
    limits = stores.limits()
    assert list(limits.used([cap], NOW + 5_000)) == [1]
    limits.close()


def test_many_tasks_of_a_loop_share_it(stores):
    cap = Cap("total", 30, 1)

    async def work(state):
        async def one(number: int) -> bool:
            await state.read(f"s{number}", None)
            (verdict,) = await state.take([Claim(f"t{number}", (cap,))], 1, NOW, None)
            await state.put_grants(f"s{number}", {"p": str(number).encode()}, 60_000)
            view = await state.read(f"s{number}", None)
            assert view.grants == {"p": str(number).encode()}
            return bool(verdict.granted)

        return sum(await asyncio.gather(*(one(number) for number in range(100))))

    assert with_state(stores, work) == 30


def test_an_identity_is_drawn_once_and_gathers_the_sessions_that_were_anonymous(stores):
    async def work(state):
        first = await asyncio.gather(*(state.identify("c1", f"s{n}", was_anonymous=True) for n in range(2)))
        again = await state.identify("c1", "s0", was_anonymous=True)
        for number in range(2, 9):
            last = await state.identify("c1", f"s{number}", was_anonymous=True)
        signed_in = await state.identify("c2", "s1", was_anonymous=False)
        read = (await state.read("s1", "c1")).identity
        await state.forget_identity("c1")
        return first, again, last, read, signed_in, (await state.read("s1", "c1")).identity

    first, again, last, read, signed_in, forgotten = with_state(stores, work)
    (drawn_as,) = {each.drawn_as for each in (*first, again, last)}
    assert drawn_as in {"s0", "s1"}, "one of them came first, and draws for both"
    assert set(again.sessions) == {"s0", "s1"}
    assert last.sessions == (again.sessions[1], *(f"s{number}" for number in range(2, 9)))
    assert read == last
    assert signed_in == Identity("c2")
    assert forgotten is None


def test_ids_are_told_seen_together_with_the_session(stores):
    session = SessionState(b"1", NOW, None)
    partition = partition_of("s1", PARTITIONS)
    store = stores.state()
    store.claim(partition, 1)
    store.apply(StateBatch(partition, 1, 0, 1, {"s1": session}, ["e1", "e2"], [], NOW))
    store.close()

    async def work(state):
        return await state.read("s1", None, ("e1", "e3")), await state.read("s1", "c1", ("e4",))

    assert with_state(stores, work) == (
        SessionView(session, None, {}, None, frozenset({"e1"})),
        SessionView(session, None, {}),
    )


def test_the_stream_reads_and_keeps_the_same_identities(stores, opened):
    identities = opened("identities")
    assert identities.identify("c1", "s1", was_anonymous=True) == Identity("s1", ("s1",))
    assert identities.identify("c2", "s2", was_anonymous=False) == Identity("c2")

    async def work(state):
        await state.put_grants("s1", {"": b"owner", "banner": b"grant"}, 60_000)
        return await state.identify("c1", "s3", was_anonymous=True), (await state.read("s2", "c2")).identity

    assert with_state(stores, work) == (Identity("s1", ("s1", "s3")), Identity("c2"))
    assert identities.read([("s1", "c1"), ("s9", "c2"), ("s1", "c9")]) == [
        (Identity("s1", ("s1", "s3")), {"": b"owner", "banner": b"grant"}),
        (Identity("c2"), {}),
        (None, {"": b"owner", "banner": b"grant"}),
    ]
    assert identities.read([]) == []
