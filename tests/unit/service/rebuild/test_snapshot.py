"""A snapshot is the whole state with its offsets, is checked before it is put back, and workers go on from it."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from engine.ports import OutputKind
from tests.unit.service.rebuild.installed import PARTITIONS, Installed, history, rules, without_seen


@pytest.fixture(params=["sqlite", pytest.param("servers", marks=[pytest.mark.redis])])
def shop(request, tmp_path: Path) -> Iterator[Installed]:
    """The state in SQLite or in Redis; the log is embedded."""
    made = Installed(
        tmp_path, {"redis.url": request.getfixturevalue("redis_url")} if request.param == "servers" else None
    )
    yield made
    made.close()


def triggers(shop: Installed) -> list[tuple[str, bytes]]:
    return sorted((each.id, each.value) for each in shop.wiring.outputs().read(OutputKind.TRIGGER, 10_000))


def test_what_is_put_back_is_gone_on_from_as_if_nothing_had_been(shop: Installed, tmp_path: Path) -> None:
    file = tmp_path / "state.zip"
    live = shop.publish(rules())
    records = history(600)
    shop.append(records[:400])
    shop.work(lambda: live)
    saved = shop.copies()
    told = msgspec.json.decode(shop.salience("snapshot", "save", str(file), "--json").stdout)
    assert told["offsets"] == [copy.position.offset for copy in saved]
    assert told["sessions"] == sum(len(copy.sessions) for copy in saved) > 20
    shop.append(records[400:])
    shop.work(lambda: live)
    after, sent = shop.copies(), triggers(shop)

    assert "there is a state already: partition 0" in str(shop.salience("snapshot", "load", str(file)).exception)
    loaded = shop.salience("snapshot", "load", str(file), "--replace")
    assert "partitions are in place" in loaded.stdout
    assert without_seen(shop.copies()) == without_seen(saved)
    shop.work(lambda: live)
    assert without_seen(shop.copies()) == without_seen(after)
    assert triggers(shop) == sent, "nothing is sent again, nothing is left out"


@pytest.fixture
def saved(tmp_path: Path) -> Iterator[tuple[Installed, Path]]:
    made = Installed(tmp_path)
    live = made.publish(rules())
    made.append(history(60))
    made.work(lambda: live)
    file = tmp_path / "state.zip"
    made.salience("snapshot", "save", str(file))
    yield made, file
    made.close()


def test_a_damaged_file_changes_nothing(saved: tuple[Installed, Path]) -> None:
    shop, file = saved
    before = shop.copies()
    whole = file.read_bytes()
    tampered = file.with_name("tampered.zip")
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(tampered, "w") as target:
        for name in source.namelist():
            raw = source.read(name)
            target.writestr(name, raw[:-1] + bytes([raw[-1] ^ 1]) if name == "partition-2.msgpack" else raw)
    assert "partition-2.msgpack is not as it was written" in str(
        shop.salience("snapshot", "load", str(tampered), "--replace").exception
    )
    for raw in (whole[: len(whole) // 2], b"", whole[:60] + b"\xff" * 20 + whole[80:]):
        file.write_bytes(raw)
        for words in (("load", str(file), "--replace"), ("show", str(file))):
            assert "state.zip is" in str(shop.salience("snapshot", *words).exception)
    assert shop.copies() == before


def test_a_file_that_can_not_be_written_is_a_sentence_and_leaves_nothing(saved: tuple[Installed, Path]) -> None:
    shop, file = saved
    target = file.parent / "nowhere" / "state.zip"
    assert "can't be written" in str(shop.salience("snapshot", "save", str(target)).exception)
    assert not list(file.parent.glob("*.part"))


def test_another_number_of_partitions_is_refused(saved: tuple[Installed, Path], tmp_path: Path) -> None:
    shop, file = saved
    shutil.copy(file, tmp_path / "copy.zip")
    shop.flags.append("kafka.partitions=5")
    told = str(shop.salience("snapshot", "load", str(tmp_path / "copy.zip")).exception)
    assert f"has {PARTITIONS} partitions, and the setting kafka.partitions says 5" in told


def test_show_says_what_is_in_it(saved: tuple[Installed, Path]) -> None:
    shop, file = saved
    told = shop.salience("snapshot", "show", str(file)).stdout
    for copy in shop.copies():
        assert f"partition {copy.partition} at offset {copy.position.offset}" in told
