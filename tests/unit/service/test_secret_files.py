"""Generated secrets: made once, for their owner alone, the same for all processes."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service.secret_files import SecretFileError, generated_secret


def test_it_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = generated_secret(tmp_path / "data", "admin")
    path = tmp_path / "data" / "secrets" / "admin"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert len(first.reveal()) >= 43  # 32 bytes in base64
    assert generated_secret(tmp_path / "data", "admin") == first
    assert generated_secret(tmp_path / "data", "other") != first


def test_processes_that_start_together_get_the_same_one(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda _: generated_secret(tmp_path, "admin").reveal(), range(64)))
    assert len(set(made)) == 1
    assert [path.name for path in (tmp_path / "secrets").iterdir()] == ["admin"]


def test_one_that_others_may_read_is_refused_with_what_to_do(tmp_path: Path) -> None:
    generated_secret(tmp_path, "admin")
    path = tmp_path / "secrets" / "admin"
    path.chmod(0o644)
    with pytest.raises(SecretFileError, match=r"may be read by other users \(mode 644\).*chmod 600"):
        generated_secret(tmp_path, "admin")


def test_an_empty_or_impossible_file_is_named(tmp_path: Path) -> None:
    generated_secret(tmp_path, "admin")
    (tmp_path / "secrets" / "admin").write_text("")
    with pytest.raises(SecretFileError, match="is empty"):
        generated_secret(tmp_path, "admin")
    (tmp_path / "file").write_text("")
    with pytest.raises(SecretFileError, match="can't be made or read: Not a directory"):
        generated_secret(tmp_path / "file", "admin")
