"""What a process serves: loaded aside, swapped at once, kept on its own disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from engine.bundle import BundleError
from engine.ports import PortError, Row
from service.last_good import LastGood
from service.ruleset_holder import ASIDE_POLL_MS, NothingLiveError, RulesetHolder
from tests.unit.service.small_shop import Installation, sources, with_threshold


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path)
    yield installation
    installation.close()


class GoneTables:
    """Control tables that can't be reached."""

    def get(self, table: str, key: str) -> Row | None:
        raise PortError("tables.example does not answer")

    def put(self, table: str, key: str, value: bytes | None, expected: int | None = None) -> int:
        raise PortError("tables.example does not answer")

    def rows(self, table: str) -> Mapping[str, Row]:
        raise PortError("tables.example does not answer")

    def version(self, table: str) -> int:
        raise PortError("tables.example does not answer")

    def close(self) -> None:
        pass


def test_what_waits_to_become_live_is_looked_at_often_so_that_all_processes_change_at_once(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    holder = shop.holder()
    holder.poll()
    pauses: list[int] = []

    def poll() -> None:
        holder.poll()
        pauses.append(holder._pause_ms())

    shop.on_sleep = poll
    shop.publisher.publish(with_threshold(5), "anna", "")
    assert set(pauses) == {ASIDE_POLL_MS}
    holder.poll()
    assert holder._pause_ms() == 200


def test_before_anything_is_published_nothing_serves(shop: Installation) -> None:
    holder = shop.holder()
    holder.poll()
    assert holder.current is None
    with pytest.raises(NothingLiveError, match="salience publish"):
        holder.require()


def test_what_is_live_serves(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    holder = shop.holder()
    holder.poll()
    loaded = holder.require()
    assert loaded.revision.number == 1
    assert loaded.network.program.rules
    assert loaded.pins == {"intent": "v1"}
    assert shop.control.processes(shop.clock())[0].revision == 1


def test_a_flip_serves_what_was_loaded_aside(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    holder = shop.holder()
    holder.poll()
    before = holder.current
    shop.on_sleep = holder.poll
    shop.publisher.publish(with_threshold(5), "anna", "")
    assert holder.current is before, "not before it looks again"
    holder.poll()
    assert holder.current is not None
    assert holder.current.revision.number == 2


def test_a_staged_revision_that_is_refused_elsewhere_never_serves(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    holder = shop.holder()
    holder.poll()
    shop.beat("other")

    def poll() -> None:
        holder.poll()
        shop.beat("other")

    shop.on_sleep = poll
    with pytest.raises(Exception, match="other gave no answer"):
        shop.publisher.publish(with_threshold(5), "anna", "")
    holder.poll()
    assert holder.current is not None
    assert holder.current.revision.number == 1


def test_the_rules_of_former_bundles_are_known_to_the_network(shop: Installation) -> None:
    """So that a session of an earlier revision is not told that all its rules are new."""
    first = shop.publisher.publish(sources(), "anna", "").revision
    shop.publisher.publish(with_threshold(5), "anna", "")
    assert set(shop.control.ancestry()) == {first.bundle, shop.publisher.history()[0].bundle}
    assert len(shop.control.ancestry()[first.bundle]) == 3


def test_a_revision_takes_over_what_did_not_change_since_the_one_that_serves(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    holder = shop.holder()
    holder.poll()
    former = holder.current
    shop.on_sleep = holder.poll
    shop.publisher.publish(with_threshold(5), "anna", "")
    holder.poll()
    current = holder.current
    assert former is not None
    assert current is not None
    assert current.revision.number == 2
    same = [new is old for new, old in zip(current.program.rules, former.program.rules, strict=True)]
    assert same == [rule.name != "offer" for rule in former.program.rules]


def test_a_live_bundle_that_can_not_be_loaded_leaves_the_one_before(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    holder = shop.holder()
    holder.poll()
    second = shop.publisher.publish(with_threshold(5), "anna", "").revision
    shop.tables.put("bundles", second.bundle, b"{}")
    holder.poll()
    assert holder.current is not None
    assert holder.current.revision.number == 1
    assert "revision 2 is live but can't be loaded here" in holder.problem
    assert "can't be loaded" in shop.control.processes(shop.clock())[0].problem


def test_without_the_tables_it_goes_on_and_says_so(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    holder = shop.holder()
    holder.poll()
    holder._control.tables = GoneTables()
    holder.poll()
    assert holder.current is not None
    assert "tables.example does not answer" in holder.problem
    holder._control.tables = shop.tables
    holder.poll()
    assert holder.problem == ""


def test_a_start_without_the_tables_serves_the_last_good_bundle(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    shop.holder().poll()
    holder = RulesetHolder(
        GoneTables(), role="worker", registry=shop.folder, data_dir=shop.folder, signing=shop.signing
    )
    holder.start()
    try:
        assert holder.require().revision.number == 1
        assert "does not answer" in holder.problem
    finally:
        holder.stop()


def test_a_start_with_a_live_bundle_that_can_not_be_loaded_serves_the_last_good_one(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    shop.holder().poll()
    second = shop.publisher.publish(with_threshold(5), "anna", "").revision
    shop.tables.put("bundles", second.bundle, b"{}")
    holder = shop.holder()
    holder.start()
    try:
        assert holder.require().revision.number == 1
        assert "revision 2 is live but can't be loaded here" in holder.problem
    finally:
        holder.stop()


def test_whatever_byte_of_the_last_good_bundle_is_another_it_is_a_bundle_error_or_the_same(shop: Installation) -> None:
    """Of any other error the process would end at its start."""
    shop.publisher.publish(sources(), "anna", "")
    shop.holder().poll()
    kept = LastGood(shop.folder, "worker")
    whole = kept.path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 3):
        kept.path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            found = kept.read()
        except BundleError:
            refused += 1
        else:
            assert found is not None
    assert refused > len(whole) // 6


@pytest.mark.parametrize("cut", [0, 10, 200, -1])
def test_a_damaged_last_good_bundle_is_not_served(shop: Installation, cut: int) -> None:
    shop.publisher.publish(sources(), "anna", "")
    shop.holder().poll()
    file = shop.folder / "last_good" / "worker.bundle"
    whole = file.read_bytes()
    file.write_bytes(whole[:cut] if cut >= 0 else whole.replace(b"greeting", b"Greeting"))
    holder = RulesetHolder(
        GoneTables(), role="worker", registry=shop.folder, data_dir=shop.folder, signing=shop.signing
    )
    holder.start()
    try:
        assert holder.current is None
        assert "last good bundle can't be used" in holder._refused
    finally:
        holder.stop()


def test_a_process_that_ends_in_order_is_no_longer_waited_for(shop: Installation) -> None:
    holder = shop.holder()
    holder.start()
    assert shop.control.serving(shop.clock()) == ["worker"]
    holder.stop()
    assert shop.control.serving(shop.clock()) == []


def test_a_publication_is_served_by_real_threads_within_two_seconds(tmp_path: Path) -> None:
    """Not a timing test but a bound of the promise: five times what it takes."""
    shop = Installation(tmp_path)
    holders = [
        RulesetHolder(
            shop.tables, role=role, registry=tmp_path, data_dir=tmp_path, signing=shop.signing, poll_ms=50, name=role
        )
        for role in ("api", "worker")
    ]
    changed = threading.Event()
    try:
        for holder in holders:
            holder.start()
        shop.publisher._clock = lambda: time.time_ns() // 1_000_000
        shop.publisher._sleep = time.sleep
        holders[0]._on_change = lambda _: changed.set()
        published = shop.publisher.publish(sources(), "anna", "")
        assert set(published.acknowledged) == {"api", "worker"}
        assert changed.wait(30)
        assert all(holder.require(30_000).revision.number == 1 for holder in holders)
    finally:
        for holder in holders:
            holder.stop()
        shop.close()
