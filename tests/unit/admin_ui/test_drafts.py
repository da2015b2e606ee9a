"""The shared draft: nobody's edit is lost, and a publication by somebody else is noticed."""

from __future__ import annotations

import pytest

from admin_ui.drafts import AsideText, DraftConflictError, Drafts, Edit, base_of, text_hash
from tests.unit.admin_ui.memory_backend import NOON, MemoryTables

LIVE = {"a.yaml": "one\n", "b.yaml": "two\n"}


@pytest.fixture
def drafts() -> Drafts:
    return Drafts(MemoryTables())


def save(drafts: Drafts, text: str | None, *, version: int = 0, live: dict[str, str] = LIVE, author: str = "ed") -> int:
    return drafts.save(Edit("a.yaml", text, version, base_of(LIVE, "a.yaml")), live, author, NOON)


def test_the_draft_is_live_with_the_changed_files_in_place(drafts: Drafts) -> None:
    save(drafts, "changed\n")
    assert drafts.read(LIVE).sources(LIVE) == {"a.yaml": "changed\n", "b.yaml": "two\n"}


def test_a_deleted_file_is_not_among_the_sources(drafts: Drafts) -> None:
    save(drafts, None)
    assert drafts.read(LIVE).sources(LIVE) == {"b.yaml": "two\n"}


def test_two_people_who_opened_the_same_version_do_not_overwrite_each_other(drafts: Drafts) -> None:
    save(drafts, "hers\n", author="marta")
    with pytest.raises(DraftConflictError) as conflict:
        save(drafts, "his\n", author="ed")
    assert (conflict.value.theirs, conflict.value.author) == ("hers\n", "marta")
    assert drafts.read(LIVE).files["a.yaml"].text == "hers\n"


def test_who_keeps_theirs_saves_over_the_version_that_the_conflict_named(drafts: Drafts) -> None:
    save(drafts, "hers\n", author="marta")
    with pytest.raises(DraftConflictError) as conflict:
        save(drafts, "his\n")
    drafts.save(Edit("a.yaml", "his\n", conflict.value.version, conflict.value.base), LIVE, "ed", NOON)
    assert drafts.read(LIVE).files["a.yaml"].text == "his\n"


def test_a_first_save_on_a_live_text_that_has_changed_is_a_conflict(drafts: Drafts) -> None:
    with pytest.raises(DraftConflictError) as conflict:
        save(drafts, "mine\n", live=LIVE | {"a.yaml": "published meanwhile\n"})
    assert conflict.value.theirs == "published meanwhile\n"


def test_typing_back_what_is_live_takes_the_file_out_of_the_draft(drafts: Drafts) -> None:
    version = save(drafts, "changed\n")
    assert save(drafts, "one\n", version=version) == 0
    assert not drafts.read(LIVE).files


def test_a_draft_that_went_live_is_no_difference_any_more_and_can_be_edited_again(drafts: Drafts) -> None:
    version = save(drafts, "published\n")
    live = LIVE | {"a.yaml": "published\n"}
    assert not drafts.read(live).files
    base = text_hash("published\n")
    again = drafts.save(Edit("a.yaml", "next\n", version, base), live, "ed", NOON)
    assert again > version
    assert drafts.read(live).outdated == ()


def test_a_publication_by_somebody_else_makes_the_draft_of_that_file_outdated(drafts: Drafts) -> None:
    save(drafts, "mine\n")
    live = LIVE | {"a.yaml": "theirs\n"}
    assert drafts.read(live).outdated == ("a.yaml",)
    drafts.accept("a.yaml", live)
    assert drafts.read(live).outdated == ()


def test_saving_on_while_an_earlier_save_goes_live_is_not_outdated(drafts: Drafts) -> None:
    version = save(drafts, "first\n")
    save(drafts, "second\n", version=version)
    assert drafts.read(LIVE | {"a.yaml": "first\n"}).outdated == ()


def test_a_rollback_to_what_the_draft_began_with_is_not_outdated(drafts: Drafts) -> None:
    save(drafts, "mine\n")
    drafts.accept("a.yaml", LIVE | {"a.yaml": "theirs\n"})
    assert drafts.read(LIVE).outdated == ()


def test_what_is_discarded_is_set_aside(drafts: Drafts) -> None:
    save(drafts, "my work\n")
    drafts.discard("a.yaml", "marta", NOON)
    assert not drafts.read(LIVE).files
    ((_, aside),) = drafts.aside("a.yaml")
    assert aside.text == "my work\n"
    assert aside.because == "discarded by marta"


def test_only_the_newest_set_aside_texts_are_kept(drafts: Drafts) -> None:
    for number in range(60):
        drafts.set_aside(AsideText("a.yaml", f"text {number}", "ed", NOON + number, "replaced"))
    kept = [text.text for _, text in drafts.aside("a.yaml")]
    assert kept == [f"text {number}" for number in range(59, 9, -1)]


def test_after_a_discard_the_version_seen_before_is_refused(drafts: Drafts) -> None:
    version = save(drafts, "mine\n")
    drafts.discard("a.yaml", "marta", NOON)
    with pytest.raises(DraftConflictError):
        save(drafts, "still mine\n", version=version)
