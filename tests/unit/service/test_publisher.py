"""Publishing: what becomes live, what does not, and who has to agree."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.bundle import Revision
from engine.ports import ConflictError
from service.control import Answer, Stage
from service.publisher import PublishBusyError, Publisher, PublishRefusedError
from tests.unit.service.small_shop import Installation, Registry, sources, with_threshold


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path)
    yield installation
    installation.close()


def test_without_a_process_a_publication_is_live_at_once(shop: Installation) -> None:
    published = shop.publisher.publish(sources(), "anna", "first")
    assert published.changed
    assert published.tests == 1
    assert (
        shop.publisher.live()
        == published.revision
        == Revision(1, published.revision.bundle, "anna", 1_000_000, "first")
    )
    assert shop.publisher.bundle(published.revision.bundle).sources == sources()


def test_the_newest_version_of_each_model_is_pinned_unless_another_is_named(shop: Installation) -> None:
    first = shop.publisher.publish(sources(), "anna", "")
    assert shop.publisher.bundle(first.revision.bundle).pins == {"intent": "v1"}
    second = shop.publisher.publish(sources(), "anna", "", pins={"intent": "v0"})
    assert shop.publisher.bundle(second.revision.bundle).pins == {"intent": "v0"}


def test_the_same_content_again_changes_nothing(shop: Installation) -> None:
    first = shop.publisher.publish(sources(), "anna", "")
    again = shop.publisher.publish(sources(), "ben", "again")
    assert not again.changed
    assert again.revision == first.revision
    assert len(shop.publisher.history()) == 1


def test_a_publication_takes_over_what_did_not_change_since_the_one_before(shop: Installation) -> None:
    """The bundle is the one that a publisher that prepared nothing before would publish."""
    shop.publisher.publish(sources(), "anna", "first")
    before = shop.publisher.check(sources()).program
    second = shop.publisher.publish(with_threshold(5), "anna", "second")
    after = shop.publisher.check(with_threshold(5)).program
    assert before is not None
    assert after is not None
    same = [new is old for new, old in zip(after.rules, before.rules, strict=True)]
    assert same == [rule.name != "offer" for rule in before.rules]
    again = Publisher(shop.tables, Registry(intent="v1"), shop.signing)
    assert again.publish(with_threshold(5), "anna", "the same").revision == second.revision


def test_all_diagnostics_refuse_it_at_once(shop: Installation) -> None:
    broken = sources(
        greeting="ruleset: greeting\nrules:\n  - rule: a\n    when: {fact: veiws, above: 1}\n    wehn: 3\n"
    )
    with pytest.raises(PublishRefusedError) as refused:
        shop.publisher.publish(broken, "anna", "oops")
    assert {each.code for each in refused.value.diagnostics} >= {"unknown-fact", "unknown-key"}
    assert "greeting.yaml:4" in refused.value.reasons[0]
    assert shop.publisher.live() is None
    refusal = shop.control.refusal()
    assert refusal is not None
    assert refusal.author == "anna"


def test_a_failing_test_beside_the_rules_refuses_it(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    files = sources(greeting=sources()["greeting.yaml"].replace("at_least: 3", "at_least: 4"))
    with pytest.raises(PublishRefusedError, match='test "the third view is told" fails'):
        shop.publisher.publish(files, "anna", "")
    live = shop.publisher.live()
    assert live is not None
    assert live.number == 1


def test_a_dry_run_says_what_would_be_and_leaves_no_trace(shop: Installation) -> None:
    published = shop.publisher.publish(sources(), "anna", "", dry_run=True)
    assert published.dry_run
    assert published.revision.number == 1
    assert shop.publisher.live() is None
    assert shop.control.version() == 0
    with pytest.raises(PublishRefusedError):
        shop.publisher.publish({}, "anna", "", dry_run=True)
    assert shop.control.version() == 0


def test_every_live_process_that_decides_must_agree_first(shop: Installation) -> None:
    holder = shop.holder("api")
    holder.poll()
    shop.beat("worker-1")
    seen: list[tuple[tuple[str, ...], tuple[str, ...]]] = []

    def agree_later() -> None:
        shop.beat("worker-1")
        holder.poll()
        stage, _ = shop.control.staged()
        assert shop.publisher.live() is None
        if len(seen) == 3 and stage is not None:
            shop.control.answer(stage, Answer("worker-1", True, 0))

    shop.on_sleep = agree_later
    published = shop.publisher.publish(sources(), "anna", "", watcher=lambda *each: seen.append(each))
    assert published.acknowledged == ("api", "worker-1")
    assert seen[0] == ((), ("api", "worker-1"))
    assert (("api",), ("worker-1",)) in seen
    assert shop.control.staged()[0] is None


def test_the_admin_ui_is_not_waited_for(shop: Installation) -> None:
    shop.beat("admin-1", "admin")
    assert shop.publisher.publish(sources(), "anna", "").acknowledged == ()


def test_a_refusal_of_a_process_stops_it_with_its_reason(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    shop.beat("worker-1")

    def refuse() -> None:
        stage, _ = shop.control.staged()
        assert stage is not None
        shop.control.answer(stage, Answer("worker-1", False, 0, "no room for its network"))

    shop.on_sleep = refuse
    with pytest.raises(PublishRefusedError, match="worker-1: no room for its network"):
        shop.publisher.publish(with_threshold(5), "anna", "")
    live = shop.publisher.live()
    assert live is not None
    assert live.number == 1
    assert len(shop.publisher.history()) == 1
    assert shop.control.staged()[0] is None


def test_a_process_that_dies_meanwhile_is_not_waited_for_longer_than_its_heartbeats(shop: Installation) -> None:
    shop.beat("worker-1")
    published = shop.publisher.publish(sources(), "anna", "")
    assert published.missing == ("worker-1",)
    assert shop.clock.now - 1_000_000 <= 3_100


def test_a_process_that_lives_and_does_not_answer_refuses_by_that(shop: Installation) -> None:
    shop.beat("worker-1")
    shop.on_sleep = lambda: shop.beat("worker-1")
    with pytest.raises(PublishRefusedError, match="worker-1 gave no answer within 20 s"):
        shop.publisher.publish(sources(), "anna", "")
    assert shop.publisher.live() is None


def test_two_publishers_at_once_one_is_told_to_wait(shop: Installation) -> None:
    shop.beat("worker-1")

    def publish_too() -> None:
        shop.beat("worker-1")
        with pytest.raises(PublishBusyError, match="anna is publishing"):
            shop.publisher.publish(with_threshold(5), "ben", "me too")
        stage, _ = shop.control.staged()
        assert stage is not None
        shop.control.answer(stage, Answer("worker-1", True, 0))

    shop.on_sleep = publish_too
    assert shop.publisher.publish(sources(), "anna", "mine").changed


def test_the_stage_of_a_publisher_that_died_expires(shop: Installation) -> None:
    shop.control.stage(Stage("x", Revision(1, "0" * 64, "gone", 0, ""), until=shop.clock.now + 100), 0)
    with pytest.raises(PublishBusyError):
        shop.publisher.publish(sources(), "anna", "")
    shop.clock.now += 100
    assert shop.publisher.publish(sources(), "anna", "").changed


def test_a_publisher_that_was_overtaken_does_not_win(shop: Installation) -> None:
    """It slept past the end of its stage while another publication became live: its flip is refused."""
    shop.beat("worker-1")
    slept = False

    def oversleep() -> None:
        nonlocal slept
        if slept:
            return
        slept = True
        shop.clock.now += 60_000
        shop.publisher.publish(with_threshold(7), "ben", "quick")

    shop.on_sleep = oversleep
    with pytest.raises(PublishBusyError, match="another publication became live"):
        shop.publisher.publish(sources(), "anna", "slow")
    live = shop.publisher.live()
    assert live is not None
    assert live.author == "ben"
    assert [each.author for each in shop.publisher.history()] == ["ben"]


def test_a_number_of_a_publisher_that_ended_before_its_flip_is_used_again(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    shop.control.record(Revision(2, "0" * 64, "ghost", 0, ""), 0)
    assert [each.author for each in shop.publisher.history()] == ["anna"]
    published = shop.publisher.publish(with_threshold(5), "ben", "")
    assert published.revision.number == 2
    assert [each.author for each in shop.publisher.history()] == ["ben", "anna"]


# ---------------------------------------------------------------------------------------------------- rollback


def test_a_rollback_is_a_new_revision_with_the_former_content(shop: Installation) -> None:
    first = shop.publisher.publish(sources(), "anna", "").revision
    shop.publisher.publish(with_threshold(5), "anna", "")
    done = shop.publisher.rollback("nobody saw it", "ben")
    assert done.revision.number == 3
    assert done.revision.bundle == first.bundle
    assert done.revision.restores == 1
    assert done.revision.note == "nobody saw it"


def test_a_second_rollback_goes_further_back(shop: Installation) -> None:
    for views in (2, 5, 6):
        shop.publisher.publish(with_threshold(views), "anna", "")
    assert shop.publisher.rollback("one back", "ben").revision.restores == 2
    assert shop.publisher.rollback("another", "ben").revision.restores == 1
    with pytest.raises(PublishRefusedError, match="no earlier revision"):
        shop.publisher.rollback("and another", "ben")


def test_a_rollback_to_a_number(shop: Installation) -> None:
    for views in (2, 5, 6):
        shop.publisher.publish(with_threshold(views), "anna", "")
    assert shop.publisher.rollback("to the first", "ben", 1).revision.restores == 1
    with pytest.raises(PublishRefusedError, match="there is no revision 9; revisions 1 to 4"):
        shop.publisher.rollback("?", "ben", 9)
    with pytest.raises(PublishRefusedError, match="same content"):
        shop.publisher.rollback("?", "ben", 1)


def test_a_rollback_needs_a_reason_and_something_to_go_back_to(shop: Installation) -> None:
    with pytest.raises(PublishRefusedError, match="nothing was ever published"):
        shop.publisher.rollback("why", "ben")
    shop.publisher.publish(sources(), "anna", "")
    with pytest.raises(PublishRefusedError, match="needs a reason"):
        shop.publisher.rollback("  ", "ben")


def test_a_dry_run_of_a_rollback_changes_nothing(shop: Installation) -> None:
    shop.publisher.publish(sources(), "anna", "")
    shop.publisher.publish(with_threshold(5), "anna", "")
    before = shop.control.version()
    assert shop.publisher.rollback("try", "ben", dry_run=True).revision.restores == 1
    assert shop.control.version() == before


def test_a_stored_bundle_is_checked_by_its_hash_when_it_is_read(shop: Installation) -> None:
    published = shop.publisher.publish(sources(), "anna", "")
    row = shop.tables.get("bundles", published.revision.bundle)
    assert row is not None
    shop.tables.put("bundles", published.revision.bundle, row.value.replace(b"growth", b"others"))
    with pytest.raises(ValueError, match="expected"):
        shop.publisher.bundle(published.revision.bundle)


def test_the_pointer_flips_by_compare_and_set(shop: Installation) -> None:
    published = shop.publisher.publish(sources(), "anna", "")
    with pytest.raises(ConflictError):
        shop.control.flip(published.revision, 0)
