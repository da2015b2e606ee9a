"""Snapshots, reloads and bounds: what a session keeps, in how many bytes, and what it never reads wrongly."""

from __future__ import annotations

import zlib

import pytest

from engine.rete import Network, SnapshotError
from tests.unit.engine.rete.shop import MINUTE, SECOND, Session, program

FULL = "- {rule: full, when: {fact: cart.value, at_least: 10}, then: [{trigger: t}]}"
EAGER = "- {rule: eager, when: {count: checkout, within: 10 minutes, at_least: 2}, then: [{trigger: t}]}"
BOUGHT = "- {rule: bought, when: {event: purchase}, then: [{trigger: t}]}"


def test_a_restored_session_goes_on_as_if_nothing_had_been() -> None:
    session = Session(FULL + "\n" + EAGER)
    session.happens(0, "checkout")
    session.happens(0, "added", price=600)
    session.restored()
    assert session.happens(MINUTE, "added", price=400) == [f"full@{MINUTE}"]
    session.restored()
    assert session.happens(9 * MINUTE, "checkout") == [f"eager@{9 * MINUTE}"]


def test_the_same_memory_gives_the_same_bytes() -> None:
    session = Session(FULL)
    session.happens(0, "added", price=600)
    raw = session.network.snapshot(session.memory)
    assert session.network.snapshot(session.network.restore(raw)) == raw


def test_a_reload_keeps_what_did_not_change_and_fires_nothing_twice() -> None:
    session = Session(FULL)
    assert session.happens(0, "added", price=1000) == ["full@0"]
    session.restored(FULL + "\n" + EAGER)
    assert session.happens(SECOND, "viewed") == []
    assert session.looks(SECOND).fact("cart.value") == 1000


def test_a_rule_that_a_reload_brings_acts_at_the_next_event_if_it_holds() -> None:
    """What it counts is filled from the events that the session kept."""
    session = Session(FULL)
    session.happens(0, "checkout")
    session.happens(SECOND, "checkout")
    session.restored(FULL + "\n" + EAGER)
    assert session.happens(2 * SECOND, "viewed") == [f"eager@{2 * SECOND}"]
    assert session.happens(3 * SECOND, "checkout") == []


def test_after_a_bundle_that_nobody_remembers_nothing_fires_by_the_reload() -> None:
    session = Session(FULL)
    session.happens(0, "checkout")
    session.happens(SECOND, "checkout")
    session.restored(FULL + "\n" + EAGER, known=False)
    assert session.happens(2 * SECOND, "viewed") == []


def test_what_a_reload_would_need_of_events_long_gone_is_unknown() -> None:
    """Also below a `not`: a purchase may have been among them."""
    session = Session(FULL, keep_events=3)
    for second in range(5):
        session.happens(second * SECOND, "checkout")
    session.restored(FULL + "\n" + BOUGHT + "\n- {rule: never, when: {not: {event: purchase}}, then: [{trigger: t}]}")
    assert session.holds(5 * SECOND) == []
    assert session.happens(6 * SECOND, "purchase", total=1) == [f"bought@{6 * SECOND}"]


def test_past_the_bound_a_total_stays_exact_though_its_events_are_gone() -> None:
    session = Session(FULL, keep_events=3)
    for second in range(10):
        session.happens(second * SECOND, "added", price=100)
    assert session.memory.retained is not None
    assert session.memory.retained.count == 3
    assert session.looks(10 * SECOND).fact("cart.value") == 1000


def test_past_the_bound_a_count_in_a_window_is_unknown_until_what_went_has_left_it() -> None:
    session = Session("- {rule: busy, when: {count: checkout, within: 1 minute, at_least: 1}, then: [{trigger: t}]}", 3)
    for second in (0, 1, 2, 50):
        session.happens(second * SECOND, "checkout")
    assert session.holds(50 * SECOND) == []
    assert session.due() == MINUTE
    assert session.waits(MINUTE) == [f"busy@{MINUTE}"]


def test_sums_of_fractions_do_not_drift() -> None:
    session = Session("- {rule: light, when: {sum: added.weight, is: 0}, then: [{trigger: t}]}")
    for _ in range(3):
        session.happens(0, "added", weight=0.1)
        session.restored()
    session.happens(0, "added", weight=-0.3)
    view = session.looks(0)
    assert view.report(session.program.rules[0].when).actual == "2.77556e-17"  # of three times the float 0.1, exactly


def test_a_session_of_twenty_events_is_small() -> None:
    """At most 300 bytes and 15 for each kept event."""
    session = Session(FULL + "\n" + EAGER)
    for second in range(20):
        session.happens(second * SECOND, ("viewed", "added", "checkout")[second % 3], price=100 * second)
    assert len(session.network.snapshot(session.memory)) <= 300 + 15 * 20


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "no session snapshot"),
        (b"{}", "no session snapshot"),
        (b"SM\x09\x00\x00\x00\x00", "format 9"),
        (b"SM\x02\x00\x00\x00\x00\x93", "format 2; this version reads format 3"),
        (b"SM\x03\x00\x00\x00\x00\x93", "damaged"),
        (b"SM\x03" + zlib.crc32(b"\xc0").to_bytes(4, "big") + b"\xc0", "not made of the parts"),
        (b"SM\x03" + zlib.crc32(b"\xc1").to_bytes(4, "big") + b"\xc1", "can't be read"),
        (b"SM\x03" + zlib.crc32(b"\x99" + b"\xc0" * 9).to_bytes(4, "big") + b"\x99" + b"\xc0" * 9, "does not fit"),
    ],
)
def test_what_is_no_snapshot_is_refused_by_name(raw: bytes, message: str) -> None:
    with pytest.raises(SnapshotError, match=message):
        Network.build(program(FULL)).restore(raw)


def test_a_damaged_snapshot_is_refused() -> None:
    session = Session(FULL)
    session.happens(0, "added", price=600)
    raw = bytearray(session.network.snapshot(session.memory))
    for at in range(len(raw)):
        damaged = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(SnapshotError):
            session.network.restore(bytes(damaged))
        with pytest.raises(SnapshotError):
            session.network.restore(bytes(raw[:at]))
