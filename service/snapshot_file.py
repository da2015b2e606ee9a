"""A copy of the state of all partitions in one file: a zip of MessagePack, each part with its hash.

`about.json` is written last, so that a file without it is one that was cut off.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from engine.copies import PartitionCopy
from engine.values import EpochMs

FORMAT = 1
ABOUT = "about.json"


class SnapshotFileError(Exception):
    """A file that is no snapshot, or is not as it was written; the message names it."""


class About(msgspec.Struct, frozen=True):
    """What a snapshot holds.

    Attributes:
        taken: When it was begun.
        offsets: Where each partition's state stands, from partition 0 on.
        digests: SHA-256 (hex) of each part, by its name.
    """

    format: int
    taken: EpochMs
    partitions: int
    sessions: int
    offsets: Sequence[int]
    digests: Mapping[str, str]


def write_snapshot(path: Path, taken: EpochMs, copies: Iterable[PartitionCopy]) -> About:
    """Write copies of all partitions in order, then take the file's name; raises `OSError`."""
    partial = path.with_name(f"{path.name}.part")
    digests: dict[str, str] = {}
    offsets: list[int] = []
    sessions = 0
    try:
        with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
            for copy in copies:
                raw = msgspec.msgpack.encode(copy)
                name = f"partition-{copy.partition}.msgpack"
                file.writestr(name, raw)
                digests[name] = hashlib.sha256(raw).hexdigest()
                offsets.append(copy.position.offset)
                sessions += len(copy.sessions)
            about = About(FORMAT, taken, len(offsets), sessions, offsets, digests)
            file.writestr(ABOUT, msgspec.json.encode(about))
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return about


class SnapshotFile:
    """A snapshot to be read. Raises `SnapshotFileError` for what is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            with zipfile.ZipFile(path) as file:
                self.about = msgspec.json.decode(file.read(ABOUT), type=About)
        except FileNotFoundError as error:
            raise SnapshotFileError(f"{path}: there is no such file") from error
        except (OSError, zipfile.BadZipFile, KeyError, msgspec.MsgspecError) as error:
            raise SnapshotFileError(f"{path} is no snapshot, or was cut off: {error}") from error
        if self.about.format != FORMAT:
            raise SnapshotFileError(f"{path} has format {self.about.format}, this release reads {FORMAT}")

    def verify(self) -> None:
        """Read every part and compare its hash; raises `SnapshotFileError`."""
        for _ in self.copies():
            pass

    def copies(self) -> Iterator[PartitionCopy]:
        """The partitions, each checked before it is given out."""
        try:
            with zipfile.ZipFile(self._path) as file:
                for name, digest in self.about.digests.items():
                    raw = file.read(name)
                    if hashlib.sha256(raw).hexdigest() != digest:
                        raise SnapshotFileError(f"{self._path}: {name} is not as it was written")
                    yield msgspec.msgpack.decode(raw, type=PartitionCopy)
        except (OSError, zipfile.BadZipFile, KeyError, EOFError, zlib.error, msgspec.MsgspecError) as error:
            raise SnapshotFileError(f"{self._path} is damaged: {error}") from error
