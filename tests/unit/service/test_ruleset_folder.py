"""How files become the sources of a bundle, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.ruleset_folder import LARGEST_FILE, RulesetFolderError, read_sources


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.yaml").write_text(text, "utf-8")
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(RulesetFolderError) as raised:
        read_sources(folder)
    return str(raised.value)


def test_every_yaml_file_below_the_folder_is_read_by_its_relative_path(tmp_path: Path) -> None:
    write(tmp_path, vocabulary="currency: EUR", offers="offers: {}")
    (tmp_path / "seasons" / "winter").mkdir(parents=True)
    write(tmp_path / "seasons" / "winter", coats="ruleset: coats # Mäntel")
    assert read_sources(tmp_path) == {
        "offers.yaml": "offers: {}",
        "seasons/winter/coats.yaml": "ruleset: coats # Mäntel",
        "vocabulary.yaml": "currency: EUR",
    }


def test_order_does_not_depend_on_the_file_system(tmp_path: Path) -> None:
    write(tmp_path, b="", a="", c="")
    assert list(read_sources(tmp_path)) == ["a.yaml", "b.yaml", "c.yaml"]


def test_hidden_and_other_files_are_left_out(tmp_path: Path) -> None:
    write(tmp_path, vocabulary="")
    (tmp_path / ".git").mkdir()
    write(tmp_path / ".git", config="")
    (tmp_path / ".vocabulary.yaml.swp").write_text("")
    (tmp_path / ".hidden.yaml").write_text("")
    (tmp_path / "README.md").write_text("")
    assert list(read_sources(tmp_path)) == ["vocabulary.yaml"]


def test_line_ends_and_spaces_stay_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "vocabulary.yaml").write_bytes(b"a: 1\r\n  \r\n")
    assert read_sources(tmp_path)["vocabulary.yaml"] == "a: 1\r\n  \r\n"


def test_a_missing_folder_a_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    assert refused(tmp_path / "none") == (
        f"there is no folder {tmp_path / 'none'}; name the folder of your rulesets, such as rulesets/shop"
    )
    (tmp_path / "file.yaml").write_text("")
    assert "is a file; name the folder" in refused(tmp_path / "file.yaml")
    (tmp_path / "empty").mkdir()
    assert "holds no .yaml file" in refused(tmp_path / "empty")


def test_a_link_may_not_leave_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    write(folder, vocabulary="here")
    (folder / "same.yaml").symlink_to("vocabulary.yaml")
    assert read_sources(folder)["same.yaml"] == "here"
    secret = tmp_path / "secret.yaml"
    secret.write_text("password")
    (folder / "out.yaml").symlink_to(secret)
    assert refused(folder) == "out.yaml is a link that leaves the folder; copy the file into it"


def test_a_linked_folder_is_not_entered(tmp_path: Path) -> None:
    write(tmp_path, vocabulary="")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert refused(tmp_path) == "loop is a link to a folder; put the folder itself there"


def test_a_link_to_nothing_is_named(tmp_path: Path) -> None:
    write(tmp_path, vocabulary="")
    (tmp_path / "gone.yaml").symlink_to(tmp_path / "nowhere.yaml")
    assert refused(tmp_path) == "can't read gone.yaml: No such file or directory"


def test_a_file_that_is_too_large_is_named(tmp_path: Path) -> None:
    write(tmp_path, vocabulary="x" * LARGEST_FILE)
    read_sources(tmp_path)
    write(tmp_path, vocabulary="x" * (LARGEST_FILE + 1))
    assert refused(tmp_path) == "vocabulary.yaml has more than 1 MB; split it into several files"


def test_text_that_is_not_utf8_is_named_with_its_place(tmp_path: Path) -> None:
    (tmp_path / "offers.yaml").write_bytes("a: é\nb: ü".encode() + b"\xe4 c")
    assert refused(tmp_path) == "offers.yaml:2:5: byte 0xE4 is not UTF-8 text; save the file as UTF-8"
