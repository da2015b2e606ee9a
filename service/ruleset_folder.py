"""Reading a ruleset folder: the one way in which files become the sources of a bundle."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

SUFFIX = ".yaml"
LARGEST_FILE = 1024 * 1024
"""Bytes. A ruleset that people read has a few thousand lines of 120 characters; a megabyte is far more."""
LARGEST_FOLDER = 16 * 1024 * 1024
"""Bytes of all files together: a bundle is one value that goes to every process."""


class RulesetFolderError(Exception):
    """A folder that can't be read as rulesets; the message names the file and what to do."""


def read_sources(path: Path) -> Mapping[str, str]:
    """Read every `.yaml` file below a folder.

    Hidden files and folders (`.git`, an editor's `.x.yaml.swp`) are left out, symbolic links are followed where they
    stay inside the folder.

    Args:
        path: The folder.

    Returns:
        Text by path relative to the folder, `/`-separated, sorted.

    Raises:
        RulesetFolderError: The folder is missing, is a file or holds no `.yaml` file; a link leaves it or a file can't
            be read, is too large or is not UTF-8.
    """
    if not path.exists():
        raise RulesetFolderError(f"there is no folder {path}; name the folder of your rulesets, such as rulesets/shop")
    if not path.is_dir():
        raise RulesetFolderError(f"{path} is a file; name the folder that holds vocabulary.yaml and the rulesets")
    root = path.resolve()
    sources: dict[str, str] = {}
    size = 0
    for file in _files(path):
        name = file.relative_to(path).as_posix()
        raw = _read(file, name, root)
        size += len(raw)
        if size > LARGEST_FOLDER:
            raise RulesetFolderError(
                f"the files of {path} have more than {LARGEST_FOLDER // 1024**2} MB; split the folder"
            )
        sources[name] = _text(raw, name)
    if not sources:
        raise RulesetFolderError(
            f"the folder {path} holds no {SUFFIX} file; a ruleset folder has at least vocabulary.yaml"
        )
    return dict(sorted(sources.items()))


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder; linked folders are named by their link, which `_read` refuses, and not entered."""

    def fail(error: OSError) -> None:
        raise RulesetFolderError(f"can't read {error.filename}: {error.strerror}") from error

    for parent, folders, files in os.walk(folder, onerror=fail):
        for linked in sorted(name for name in folders if (Path(parent) / name).is_symlink() and name[0] != "."):
            raise RulesetFolderError(
                f"{(Path(parent) / linked).relative_to(folder).as_posix()} is a link to a folder; put the folder itself there"
            )
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(parent) / name for name in sorted(files) if name.endswith(SUFFIX) and not name.startswith("."))


def _read(file: Path, name: str, root: Path) -> bytes:
    if not file.resolve().is_relative_to(root):
        raise RulesetFolderError(f"{name} is a link that leaves the folder; copy the file into it")
    try:
        with file.open("rb") as opened:
            raw = opened.read(LARGEST_FILE + 1)
    except OSError as error:
        raise RulesetFolderError(f"can't read {name}: {error.strerror}") from error
    if len(raw) > LARGEST_FILE:
        raise RulesetFolderError(f"{name} has more than {LARGEST_FILE // 1024**2} MB; split it into several files")
    return raw


def _text(raw: bytes, name: str) -> str:
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8", "replace")) + 1
        raise RulesetFolderError(
            f"{name}:{line}:{column}: byte 0x{raw[error.start]:02X} is not UTF-8 text; save the file as UTF-8"
        ) from error
