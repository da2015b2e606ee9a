"""The watched folder: saved files become live, broken and rolled back ones don't."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from service.folder_watcher import FolderWatcher
from tests.unit.service.small_shop import Installation, sources, with_threshold


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Installation]:
    installation = Installation(tmp_path)
    yield installation
    installation.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "shop"
    save(path, sources())
    return path


def save(folder: Path, files: Mapping[str, str]) -> None:
    folder.mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(text)


def watcher(shop: Installation, folder: Path) -> FolderWatcher:
    return FolderWatcher(folder, shop.publisher, clock=shop.clock)


def looks(watching: FolderWatcher, times: int = 3) -> None:
    for _ in range(times):
        watching.look()


def live_number(shop: Installation) -> int | None:
    live = shop.publisher.live()
    return None if live is None else live.number


def test_the_folder_is_published_when_two_looks_see_the_same(shop: Installation, folder: Path) -> None:
    watching = watcher(shop, folder)
    watching.look()
    assert live_number(shop) is None
    watching.look()
    live = shop.publisher.live()
    assert live is not None
    assert live.author == "folder"


def test_a_file_that_is_still_being_written_is_left(shop: Installation, folder: Path) -> None:
    watching = watcher(shop, folder)
    looks(watching)
    for views in range(3, 8):
        save(folder, with_threshold(views))
        watching.look()
    assert live_number(shop) == 1
    watching.look()
    assert live_number(shop) == 2


def test_what_did_not_change_is_published_once(shop: Installation, folder: Path) -> None:
    looks(watcher(shop, folder), 10)
    looks(watcher(shop, folder), 10)
    assert len(shop.publisher.history()) == 1


def test_a_publication_from_elsewhere_is_not_overwritten_by_an_old_folder(shop: Installation, folder: Path) -> None:
    looks(watcher(shop, folder))
    shop.publisher.publish(with_threshold(9), "anna", "from the UI")
    looks(watcher(shop, folder), 5)
    assert live_number(shop) == 2


def test_a_broken_folder_is_named_and_tried_again_when_it_changes(shop: Installation, folder: Path) -> None:
    watching = watcher(shop, folder)
    looks(watching)
    save(folder, {"greeting.yaml": "ruleset: [\n"})
    looks(watching)
    report, _ = shop.control.folder()
    assert "greeting.yaml" in report.problem
    assert live_number(shop) == 1
    version = shop.control.version()
    looks(watching, 5)
    assert shop.control.version() == version, "not tried again"
    save(folder, with_threshold(5))
    looks(watching)
    assert live_number(shop) == 2
    assert shop.control.folder()[0].problem == ""


def test_what_a_rollback_took_out_stays_out_until_the_folder_changes(shop: Installation, folder: Path) -> None:
    watching = watcher(shop, folder)
    looks(watching)
    save(folder, with_threshold(5))
    looks(watching)
    shop.publisher.rollback("bad", "ben")
    looks(watching, 5)
    looks(watcher(shop, folder), 5)
    assert live_number(shop) == 3
    assert "held back" in shop.control.folder()[0].problem
    save(folder, with_threshold(6))
    looks(watching)
    assert live_number(shop) == 4
    assert shop.control.folder()[0].held is None


def test_what_was_published_from_the_folder_by_hand_and_rolled_back_stays_out(shop: Installation, folder: Path) -> None:
    """The watcher was not there when it happened: what it never saw live must not look new to it."""
    shop.publisher.publish(with_threshold(9), "anna", "")
    shop.publisher.publish(sources(), "anna", "salience publish")
    shop.publisher.rollback("bad", "ben")
    looks(watcher(shop, folder), 5)
    assert live_number(shop) == 3


def test_a_folder_that_vanishes_is_named_and_comes_back(shop: Installation, folder: Path) -> None:
    watching = watcher(shop, folder)
    looks(watching)
    moved = folder.with_name("elsewhere")
    shutil.move(folder, moved)
    looks(watching)
    assert "there is no folder" in shop.control.folder()[0].unreadable
    assert live_number(shop) == 1
    shutil.move(moved, folder)
    looks(watching)
    assert shop.control.folder()[0].unreadable == ""
