"""One partition: every record ends somewhere, in time, as its profile and limits say, however the log is cut."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest

from engine.ports import OutputKind, PortError
from service.worker import timers
from tests.unit.service.small_shop import RULES, sources
from tests.unit.service.worker.bench import (
    LIMITED,
    LIVE,
    NOON,
    Bench,
    event,
    loaded,
    record,
    records,
    run,
    tick,
    views,
)

# ---------------------------------------------------------------------------------------------------- outcomes


def test_a_rule_that_becomes_true_sends_its_trigger_once(bench: Bench) -> None:
    counts = run(bench, views("s", 0, 1, 2, 3))
    (body,) = bench.bodies()
    assert body["trigger"] == "third"
    assert body["rule"] == "greeting.third"
    assert body["session_id"] == "s"
    assert body["time"] == NOON + 2000
    assert body["payload"] == {"views": "3"}
    assert (body["revision"], body["bundle"]) == (1, LIVE.bundle.hash)
    assert counts.triggers == 1
    assert counts.fired == {"greeting.third": 1, "greeting.offer": 1}


def test_an_id_seen_before_is_a_duplicate_within_a_batch_and_between_batches(bench: Bench) -> None:
    one = event("seen", "s", 0, event_id="a", product="p")
    counts = run(bench, [one, one, *views("s", 5), one], batch=3)
    assert (counts.read, counts.applied, counts.duplicates) == (4, 2, 2)
    assert bench.sent() == []


@pytest.mark.parametrize(
    ("value", "code", "field"),
    [
        (b"\xff\xfe", "not-json", ""),
        (b'{"type": "seen"', "not-json", ""),
        (b'{"type": "seen"}', "not-an-event", ""),
        (b'{"type": "seen", "session_id": "s", "attributes": 5}', "not-an-event", ""),
        (event("sean", "s", 0), "unknown-event", "type"),
        (event("seen", "s", 0, price="much"), "wrong-type", "attributes.price"),
        (event("seen", "", 0), "bad-id", "session_id"),
        (event("seen", "s", 365 * 86_400), "from-the-future", "time"),
    ],
)
def test_what_is_no_event_goes_to_the_dead_letters_as_it_came(
    bench: Bench, value: bytes, code: str, field: str
) -> None:
    counts = run(bench, [*views("s", 0), value, *views("s", 1)])
    assert (counts.applied, counts.dead) == (2, 1)
    (body,) = bench.bodies(OutputKind.DEAD)
    assert (body["code"], body["field"]) == (code, field)
    assert body["reason"]
    assert (body["partition"], body["offset"], body["key"]) == (0, 1, "k")
    assert msgspec.json.decode(msgspec.json.encode(body["value"]), type=bytes) == value


def test_one_event_of_a_far_future_makes_no_other_late(bench: Bench) -> None:
    counts = run(bench, [event("seen", "s", 365 * 86_400), *views("s", 1)])
    assert (counts.late, counts.applied) == (0, 1)


def test_an_event_beyond_the_allowed_lateness_goes_to_the_late_ones(bench: Bench) -> None:
    counts = run(bench, views("s", 0, 200, 139, 140), batch=2)
    assert (counts.applied, counts.late) == (3, 1)
    (body,) = bench.bodies(OutputKind.LATE)
    assert body["code"] == "late"
    assert body["offset"] == 2


def test_an_event_without_an_id_is_known_by_its_place(bench: Bench) -> None:
    value = b'{"type": "seen", "session_id": "s", "time": %d}' % NOON
    partition = bench.partition()
    partition.process([record(0, value)], bench.equipment(LIVE))
    assert list(bench.state.seen(0, ["0-0"])) == ["0-0"]


def test_every_record_ends_in_exactly_one_outcome(bench: Bench) -> None:
    rng = random.Random(3)
    values = []
    for n in range(400):
        draw = rng.random()
        if draw < 0.05:
            values.append(b"poison")
        elif draw < 0.1 and values:
            values.append(rng.choice(values))
        elif draw < 0.12:
            values.append(tick(n * 5))
        else:
            values.append(
                event("seen", f"s{rng.randrange(9)}", n * 5 - rng.randrange(150), event_id=str(n), product="p")
            )
    counts = run(bench, values, batch=37)
    assert counts.read == 400
    assert counts.applied + counts.duplicates + counts.dead + counts.late + counts.ticks == 400
    assert min(counts.applied, counts.duplicates, counts.dead, counts.late, counts.ticks) > 0
    assert len(bench.sent(OutputKind.DEAD)) == counts.dead
    assert len(bench.sent(OutputKind.LATE)) == counts.late
    assert len(bench.sent()) == counts.triggers


# ---------------------------------------------------------------------------------------------------- time


def test_a_timer_acts_when_the_watermark_passes_it(bench: Bench) -> None:
    counts = run(bench, [*views("s", 0), *views("other", 300), *views("other", 360)], batch=1)
    (body,) = bench.bodies()
    assert (body["trigger"], body["session_id"]) == ("waits", "s")
    assert body["time"] == NOON + 300_000
    assert counts.triggers == 1


def test_a_timer_acts_by_a_tick_where_nothing_else_comes(bench: Bench) -> None:
    counts = run(bench, [*views("s", 0), tick(360)])
    assert counts.ticks == 1
    assert [body["trigger"] for body in bench.bodies()] == ["waits"]


def test_a_timer_acts_before_the_session_s_own_next_event(bench: Bench) -> None:
    run(bench, views("s", 0, 302))
    (body,) = bench.bodies()
    assert (body["trigger"], body["time"]) == ("waits", NOON + 300_000)


def test_a_session_ends_after_its_timeout_and_leaves_nothing(bench: Bench) -> None:
    counts = run(bench, [*views("s", 0), tick(30 * 60 + 59)])
    assert bench.stored("s") is not None
    assert counts.ended == 0
    partition = bench.partition()
    partition.process([record(2, tick(31 * 60))], bench.equipment(LIVE))
    assert bench.stored("s") is None


def test_an_event_after_the_timeout_begins_a_new_session(bench: Bench) -> None:
    counts = run(bench, views("s", 0, 1, 30 * 60 + 1))
    assert (counts.opened, counts.ended) == (2, 1)
    assert "third" not in [body["trigger"] for body in bench.bodies()]


def test_very_many_timers_at_once_are_written_in_steps(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timers, "DUE_AT_ONCE", 7)
    values = [value for n in range(50) for value in views(f"s{n}", n)]
    counts = run(bench, [*values, tick(3000), *views("new", 3000)], batch=10)
    assert counts.ended == 50
    assert counts.triggers == 50
    assert len({each.id for each in bench.sent()}) == 50
    assert counts.applied == 51


# ---------------------------------------------------------------------------------------------------- determinism


def history(seed: int) -> list[bytes]:
    """A shuffled history: duplicates, poison, late events, quiet times."""
    rng = random.Random(seed)
    values: list[bytes] = []
    now = 0
    for n in range(250):
        now += rng.choice((0, 1, 5, 20, 400 if rng.random() < 0.1 else 2))
        draw = rng.random()
        if draw < 0.03:
            values.append(b"[]")
        elif draw < 0.08 and values:
            values.append(rng.choice(values))
        elif draw < 0.1:
            values.append(tick(now))
        else:
            session = f"s{rng.randrange(12)}"
            customer = rng.choice((None, "c1", "c2"))
            values.append(event("seen", session, now - rng.choice((0, 0, 3, 90)), event_id=f"e{n}", customer=customer))
    return values


@pytest.mark.parametrize("seed", range(6))
def test_state_and_outputs_do_not_depend_on_how_the_log_is_cut(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one, in batches, with a tiny cache, with restarts, with timers known ahead: the same bytes, ids, order."""
    values = history(seed)
    seen = []
    runs = (
        ("one", 1, 1 << 20, False, 0),
        ("all", 999, 1 << 20, False, 2_000),
        ("cut", 17, 0, True, 2_000),
        ("ahead", 2, 0, False, 900_000),
        ("far ahead", 5, 1 << 20, True, 9_000_000),
    )
    for name, batch, cache, restarts, ahead in runs:
        monkeypatch.setattr(timers, "LOOK_AHEAD_MS", ahead)
        bench = Bench(tmp_path / name)
        bench.profiles.put({"c1": b'{"customer.tier": "gold"}'})
        partition = bench.partition(cache_bytes=cache)
        log = records(values)
        for start in range(0, len(log), batch):
            if restarts and start % 3 == 0:
                partition = bench.partition(cache_bytes=cache)
            partition.process(log[start : start + batch], bench.equipment(LIVE))
        outputs = [(each.id, each.offset, each.kind, each.value) for kind in OutputKind for each in bench.sent(kind)]
        states = bench.state.load(0, [f"s{n}" for n in range(12)])
        seen.append((outputs, dict(sorted(states.items())), bench.state.claim(0, 9)))
        bench.close()
    assert all(each == seen[0] for each in seen[1:])
    assert any(kind is OutputKind.TRIGGER for _, _, kind, _ in seen[0][0])


# ---------------------------------------------------------------------------------------------------- profiles, limits


def test_the_profile_of_a_customer_is_a_fact_before_the_event_is_seen(bench: Bench) -> None:
    rules = """\
ruleset: r
owner: o
rules:
  - rule: gold
    when:
      all:
        - {event: seen, within: 5 minutes}
        - {fact: customer.tier, is: gold}
    then:
      - {trigger: gold, payload: {}}
"""
    live = loaded(sources(greeting=rules))
    bench.profiles.put({"c1": b'{"customer": {"tier": "gold"}}', "c2": b'{"customer.tier": "wood"}', "c3": b"broken"})
    values = views("a", 0) + views("a", 1, customer="c1") + views("b", 2, customer="c2") + views("c", 3, customer="c3")
    run(bench, values, live=live)
    assert [(body["session_id"], body["customer_id"]) for body in bench.bodies()] == [("a", "c1")]


def test_another_customer_in_the_session_brings_their_own_facts(bench: Bench) -> None:
    rules = RULES.replace("{fact: views, at_least: 3}", "{fact: customer.tier, is: silver}").split("tests:")[0]
    live = loaded(sources(greeting=rules))
    bench.profiles.put({"c1": b'{"customer.tier": "gold"}', "c2": b'{"customer.tier": "silver"}'})
    run(bench, views("a", 0, customer="c1") + views("a", 1, customer="c2") + views("a", 2, customer="c3"), live=live)
    assert [(body["trigger"], body["customer_id"]) for body in bench.bodies()] == [("third", "c2")]


def test_a_profile_that_comes_late_does_not_bring_back_what_is_past(bench: Bench) -> None:
    """The customer signs in long after the view: no moment had both."""
    rules = RULES.replace("{fact: views, at_least: 3}", """
      all:
        - {event: seen, within: 1 minute}
        - {fact: customer.tier, is: gold}
        - {fact: views, below: 2}""").split("tests:")[0]  # fmt: skip
    bench.profiles.put({"c1": b'{"customer.tier": "gold"}'})
    run(bench, views("a", 0) + views("a", 100, customer="c1"), live=loaded(sources(greeting=rules)))
    assert bench.bodies() == []


def test_limits_over_sessions_keep_triggers_back_and_count_them(bench: Bench) -> None:
    live = loaded(sources(greeting=LIMITED))
    values = [value for n in range(4) for value in views(f"a{n}", n * 2, customer="c1")]
    values += [value for n in range(9) for value in views(f"b{n}", 10 + n * 2)]
    counts = run(bench, values, live=live)
    assert [body["session_id"] for body in bench.bodies()] == ["a0", "a1", "b0", "b1", "b2"]
    assert (counts.triggers, counts.limited) == (5, 8)


def test_a_batch_that_is_evaluated_again_takes_from_a_limit_once(bench: Bench) -> None:
    live = loaded(sources(greeting=LIMITED))
    values = [value for n in range(5) for value in views(f"b{n}", n * 2)]
    partition = bench.partition()
    bench.state.fails = {"apply": 1}
    with pytest.raises(PortError):
        partition.process(records(values), bench.equipment(live))
    partition.reset()
    partition.claim()
    partition.process(records(values), bench.equipment(live))
    assert len(bench.sent()) == 5


def test_who_is_held_out_gets_no_trigger(bench: Bench) -> None:
    live = loaded(
        sources(
            greeting=RULES.split("tests:")[0].replace(
                "    when: {fact: views, at_least: 3}", "    holdout: 50%\n    when: {fact: views, at_least: 3}"
            )
        )
    )
    partition = bench.partition(salt="pepper")
    values = [value for n in range(40) for value in views(f"s{n}", 0, 1, 2)]
    counts = partition.process(records(values), bench.equipment(live))
    assert counts.held_out + counts.triggers == 40
    assert 8 < counts.held_out < 32


def test_outputs_wait_for_others_only_where_events_had_to_wait(bench: Bench) -> None:
    equipment, appended = bench.equipment(LIVE), records(views("s", 0))
    waited = {0: 0, 1_000: 0, 2_000: 500, 60_000: 1_000}
    for behind, patience in waited.items():
        bench.clock.now = appended[0].time + behind
        assert equipment.patience(appended) == patience
    assert equipment.patience([]) == 0
