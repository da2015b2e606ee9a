"""What every `StateStore` promises."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from engine.copies import PartitionCopy
from engine.ports import Applied, Output, OutputKind, Position, SessionState, StateBatch
from engine.regime import Regime
from tests.contracts.racing import advance, race

DAY_MS = 86_400_000


def batch(partition: int = 0, generation: int = 1, start: int = 0, end: int = 10, **parts: Any) -> StateBatch:
    return StateBatch(
        partition, generation, start, end, **{"sessions": {}, "seen": [], "outputs": [], "watermark": 0, **parts}
    )


def output(offset: int, ordinal: int = 0) -> Output:
    return Output(f"o{offset}-{ordinal}", OutputKind.TRIGGER, "s", b"\x00\xffvalue", offset)


@pytest.fixture
def state(opened):
    return opened("state")


def test_a_new_partition_stands_at_its_beginning(state):
    assert state.claim(3, 1) == Position(0, 0)


def test_what_was_applied_is_there_after_opening_again(state, opened):
    full = SessionState(b"\x00\xff\x80bytes", 1_700_000_000_000, 1_700_000_060_000, "kunde-ü")
    bare = SessionState(b"", 5, None)
    state.claim(0, 1)
    assert (
        state.apply(
            batch(sessions={"a": full, "b": bare}, seen=["e1", "e2"], outputs=[output(3), output(4)], watermark=77)
        )
        is Applied.APPLIED
    )
    again = opened("state")
    assert again.claim(0, 2) == Position(10, 77)
    assert again.load(0, ["a", "b", "c"]) == {"a": full, "b": bare}
    assert set(again.seen(0, ["e1", "e2", "e3"])) == {"e1", "e2"}
    assert list(again.outbox(0)) == [output(3), output(4)]
    assert list(again.due(0, 1_700_000_060_000, 10)) == ["a"]


def test_asking_for_nothing_answers_nothing(state):
    assert state.load(0, []) == {}
    assert list(state.seen(0, [])) == []
    assert list(state.outbox(0)) == []
    assert list(state.recent(5)) == []


def test_partitions_are_apart(state):
    state.claim(0, 1)
    state.claim(1, 1)
    state.apply(batch(0, sessions={"a": SessionState(b"x", 1, 5)}, seen=["e"], outputs=[output(1)]))
    assert state.load(1, ["a"]) == {}
    assert list(state.seen(1, ["e"])) == []
    assert list(state.outbox(1)) == []
    assert list(state.due(1, 100, 10)) == []
    assert state.claim(1, 1) == Position(0, 0)


def test_an_older_generation_can_neither_claim_nor_write(state, opened):
    zombie = opened("state")
    assert zombie.claim(0, 1) is not None
    assert state.claim(0, 2) == Position(0, 0)
    assert zombie.claim(0, 1) is None
    written = zombie.apply(
        batch(generation=1, sessions={"a": SessionState(b"x", 1, 1)}, seen=["e"], outputs=[output(1)])
    )
    assert written is Applied.FENCED
    assert state.load(0, ["a"]) == {}
    assert list(state.seen(0, ["e"])) == []
    assert list(state.outbox(0)) == []
    assert state.claim(0, 2) == Position(0, 0)


def test_the_same_generation_can_claim_again(state):
    state.claim(0, 7)
    state.apply(batch(generation=7))
    assert state.claim(0, 7) == Position(10, 0)


@pytest.mark.parametrize("start", [0, 9, 11])
def test_a_batch_at_another_offset_rewinds_and_writes_nothing(state, start):
    state.claim(0, 1)
    state.apply(batch(end=10))
    written = state.apply(
        batch(start=start, end=20, sessions={"a": SessionState(b"x", 1, 1)}, seen=["e"], outputs=[output(12)])
    )
    assert written is Applied.REWIND
    assert state.load(0, ["a"]) == {}
    assert list(state.seen(0, ["e"])) == []
    assert list(state.outbox(0)) == []
    assert state.claim(0, 1) == Position(10, 0)


def test_batches_that_do_not_move_the_offset_are_told_apart_by_their_steps(state):
    """Timers that are due may take several batches under one offset; after a loss of the latest, the next must rewind."""
    state.claim(0, 1)
    state.apply(batch(end=10, brought=2))
    assert state.claim(0, 1) == Position(10, 0, 0, 2)
    assert state.apply(batch(start=10, end=10, brought=5)) is Applied.APPLIED
    assert state.apply(batch(start=10, end=10)) is Applied.REWIND
    assert state.apply(batch(start=10, end=20)) is Applied.REWIND
    assert state.claim(0, 1) == Position(10, 0, 1, 5)
    assert state.apply(batch(start=10, end=10, expected_step=1)) is Applied.APPLIED
    assert state.apply(batch(start=10, end=20, expected_step=2, brought=1)) is Applied.APPLIED
    assert state.claim(0, 1) == Position(20, 0, 0, 1)


def test_where_a_partition_stands_can_be_read_without_claiming_it(state):
    assert state.position(0) == Position(0, 0)
    state.claim(0, 3)
    state.apply(batch(generation=3, end=10, watermark=7, brought=2))
    assert state.position(0) == Position(10, 7, 0, 2)
    assert state.apply(batch(generation=3, start=10, end=11)) is Applied.APPLIED


def test_outputs_keep_their_places_in_the_outbox(state):
    state.claim(0, 1)
    outputs = [output(3), Output("second", OutputKind.DEAD, "s", b"", 3, 1)]
    state.apply(batch(outputs=outputs))
    assert list(state.outbox(0)) == outputs


def test_being_fenced_counts_before_the_offset(state):
    state.claim(0, 5)
    assert state.apply(batch(generation=4, start=99)) is Applied.FENCED


def test_concurrent_writers_of_one_offset_write_it_once(address, state):
    """Three processes race through 120 batches: each offset is written by exactly one of them."""
    written = race(advance, *address, 120)
    assert sum(written) == 120
    assert state.claim(0, 1) == Position(120, 119)
    assert len(state.load(0, [f"s{i}" for i in range(120)])) == 120
    assert len(state.seen(0, [f"e{i}" for i in range(120)])) == 120


def test_a_session_without_snapshot_is_deleted(state):
    state.claim(0, 1)
    state.apply(batch(sessions={"a": SessionState(b"x", 1, 5), "b": SessionState(b"y", 2, 6)}))
    state.apply(batch(start=10, end=20, sessions={"a": SessionState(None, 3, None)}))
    assert set(state.load(0, ["a", "b"])) == {"b"}
    assert list(state.due(0, 100, 10)) == ["b"]
    assert [session for session, _ in state.recent(10)] == ["b"]


def test_due_sessions_come_earliest_first_up_to_and_including_the_moment(state):
    state.claim(0, 1)
    due = {"a": 30, "b": 10, "c": 20, "d": None, "e": 20, "f": 31}
    state.apply(batch(sessions={session: SessionState(b"x", 1, moment) for session, moment in due.items()}))
    assert list(state.due(0, 30, 10)) == ["b", "c", "e", "a"]
    assert list(state.due(0, 30, 2)) == ["b", "c"]
    assert list(state.due(0, 9, 10)) == []


def test_a_session_without_due_time_is_due_no_more(state):
    state.claim(0, 1)
    state.apply(batch(sessions={"a": SessionState(b"x", 1, 10)}))
    state.apply(batch(start=10, end=11, sessions={"a": SessionState(b"x", 2, None)}))
    assert list(state.due(0, 100, 10)) == []


def test_recent_sessions_come_latest_clock_first_over_all_partitions(state):
    for partition in range(3):
        state.claim(partition, 1)
        sessions = {f"s{partition}-{i}": SessionState(b"long", i * 10 + partition, None, "c") for i in range(4)}
        state.apply(batch(partition, sessions=sessions))
    recent = list(state.recent(5))
    assert [session for session, _ in recent] == ["s2-3", "s1-3", "s0-3", "s2-2", "s1-2"]
    assert recent[0][1] == SessionState(b"", 32, None, "c")


def test_outputs_keep_their_order_and_go_when_trimmed(state):
    state.claim(0, 1)
    outputs = [output(1), output(1, 1), output(2), output(9)]
    state.apply(batch(end=10, outputs=outputs))
    more = [output(10), output(15)]
    state.apply(batch(start=10, end=20, outputs=more))
    assert list(state.outbox(0)) == outputs + more
    state.trim(0, 9)
    assert list(state.outbox(0)) == [output(9), *more]
    state.trim(0, 20)
    assert list(state.outbox(0)) == []
    state.trim(0, 20)
    state.apply(batch(start=20, end=30, outputs=[output(21)]))
    assert list(state.outbox(0)) == [output(21)]


def test_ids_are_remembered_for_24_hours_of_the_watermark(state):
    state.claim(0, 1)
    start = 1_700_000_000_000
    state.apply(batch(end=1, seen=["old"], watermark=start))
    state.apply(batch(start=1, end=2, seen=["new"], watermark=start + DAY_MS))
    assert set(state.seen(0, ["old", "new"])) == {"old", "new"}


def test_ids_are_forgotten_some_time_later_so_that_the_store_stays_bounded(state):
    state.claim(0, 1)
    start = 1_700_000_000_000
    state.apply(batch(end=1, seen=["old"], watermark=start))
    state.apply(batch(start=1, end=2, seen=["new"], watermark=start + 3 * DAY_MS))
    state.apply(batch(start=2, end=3, seen=["newer"], watermark=start + 3 * DAY_MS + 1))
    assert set(state.seen(0, ["old", "new", "newer"])) == {"new", "newer"}


def test_a_large_batch_is_written_whole(state):
    state.claim(0, 1)
    sessions = {f"s{i}": SessionState(bytes(300), i, i, f"c{i}") for i in range(2_000)}
    seen = [f"e{i}" for i in range(5_000)]
    outputs = [output(i) for i in range(500)]
    assert state.apply(batch(end=5_000, sessions=sessions, seen=seen, outputs=outputs)) is Applied.APPLIED
    assert state.load(0, list(sessions)) == sessions
    assert set(state.seen(0, seen)) == set(seen)
    assert list(state.outbox(0)) == outputs


def regime(revision: int, offset: int = 0, step: int = 0, **models: str) -> Regime:
    return Regime(offset, step, revision, f"bundle-{revision}", models, 60_000)


def test_what_a_batch_was_evaluated_with_is_kept_from_where_it_changed(state, opened):
    state.claim(0, 1)
    assert list(state.regimes(0)) == []
    for start, under in ((0, regime(1)), (10, regime(1)), (20, regime(2, intent="v1")), (30, regime(2, intent="v1"))):
        state.apply(batch(start=start, end=start + 10, regime=under))
    state.apply(batch(start=40, end=40, regime=regime(2, intent="v1")))
    state.apply(batch(start=40, end=40, expected_step=1, regime=regime(3)))
    state.apply(batch(start=40, end=50, expected_step=2, regime=regime(2, intent="v1")))
    assert list(opened("state").regimes(0)) == [
        regime(1), regime(2, 20, intent="v1"), regime(3, 40, 1), regime(2, 40, 2, intent="v1"),
    ]  # fmt: skip
    assert list(state.regimes(1)) == []


def test_a_batch_that_is_not_written_leaves_no_regime(state):
    state.claim(0, 5)
    state.apply(batch(generation=4, regime=regime(1)))
    state.apply(batch(generation=5, start=7, regime=regime(2)))
    assert list(state.regimes(0)) == []


def filled(state) -> PartitionCopy:
    """A partition with something of everything, and what a copy of it is."""
    sessions = {f"s{n}": SessionState(b"bytes %d" % n, n, n * 10 if n % 2 else None, f"c{n}") for n in range(2_500)}
    seen = [f"e{n}" for n in range(3_000)]
    outputs = [output(3), output(4), output(4, 1)]
    state.claim(0, 7)
    state.apply(
        batch(
            generation=7,
            end=10,
            sessions=sessions,
            seen=seen,
            outputs=outputs,
            watermark=5 * DAY_MS,
            brought=2,
            regime=regime(1),
        )
    )
    sessions |= {"late": SessionState(b"x", 99_999, 5, None)}
    state.apply(
        batch(
            generation=7, start=10, end=10, sessions={"late": sessions["late"]}, watermark=5 * DAY_MS, regime=regime(2)
        )
    )
    return PartitionCopy(
        0,
        Position(10, 5 * DAY_MS, 1, 0),
        dict(sorted(sessions.items())),
        dict.fromkeys(sorted(seen), 5 * DAY_MS),
        outputs,
        [regime(1), regime(2, 10)],
    )


def test_a_copy_has_everything_of_one_partition(state):
    expected = filled(state)
    state.claim(1, 1)
    state.apply(batch(1, sessions={"other": SessionState(b"o", 1, 1)}, seen=["o"]))
    assert state.copy(0) == expected
    assert state.copy(3) == PartitionCopy(3, Position(0, 0), {}, {}, [], [])


def test_a_copy_put_back_is_what_it_was_and_can_be_gone_on_from(state):
    copy = filled(state)
    state.apply(
        batch(
            generation=7,
            start=10,
            expected_step=1,
            end=20,
            sessions={"new": SessionState(b"n", 1, 1)},
            seen=["n"],
            outputs=[output(11)],
        )
    )
    state.replace(copy)
    assert state.copy(0) == copy
    assert state.position(0) == copy.position
    assert set(state.seen(0, ["e1", "n"])) == {"e1"}
    assert state.load(0, ["new"]) == {}
    assert [session for session, _ in state.recent(2)] == ["late", "s2499"]
    assert list(state.due(0, 10, 3)) == ["late", "s1"]
    assert state.claim(0, 8) == copy.position
    later = batch(
        generation=8, start=10, expected_step=1, end=20, outputs=[output(12)], regime=regime(2), watermark=6 * DAY_MS
    )
    assert state.apply(later) is Applied.APPLIED
    assert list(state.outbox(0)) == [*copy.outbox, output(12)]
    assert list(state.regimes(0)) == [regime(1), regime(2, 10)]


def test_who_owned_a_partition_that_is_replaced_writes_nothing_more(state):
    copy = filled(state)
    state.replace(copy)
    late = batch(generation=7, start=10, expected_step=1, end=20, sessions={"z": SessionState(b"z", 1, 1)})
    assert state.apply(late) is Applied.FENCED
    assert state.claim(0, 7) is None
    state.replace(copy)
    assert state.copy(0) == copy
    assert state.claim(0, 8) == copy.position, "however often it was replaced"


def test_a_copy_can_be_put_where_nothing_was(state):
    copy = filled(state)
    other = msgspec.structs.replace(copy, partition=2)
    state.replace(other)
    assert state.copy(2) == other
    assert state.claim(2, 1) == copy.position
