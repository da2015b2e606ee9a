"""The last good bundle on the local disk: what a process starts from when the control tables can't be reached."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.bundle import Bundle, BundleError, Revision

FOLDER = "last_good"


class _Kept(msgspec.Struct, frozen=True):
    revision: Revision
    bundle: bytes
    ancestry: Mapping[str, tuple[str, ...]]


class LastGood:
    """One file for each role, replaced atomically. Several processes of a role may write it: each writes the same.

    Args:
        data_dir: Folder of the installation; the file is `last_good/<role>.bundle` in it.
        role: `api`, `worker` or `admin`.
    """

    def __init__(self, data_dir: Path, role: str) -> None:
        self.path = data_dir / FOLDER / f"{role}.bundle"

    def keep(self, revision: Revision, bundle: Bundle, ancestry: Mapping[str, frozenset[str]]) -> None:
        """Replace the file; raises `OSError` where the disk refuses."""
        kept = _Kept(revision, bundle.to_bytes(), {name: tuple(sorted(each)) for name, each in ancestry.items()})
        self.path.parent.mkdir(parents=True, exist_ok=True)
        partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            with partial.open("wb") as file:
                file.write(msgspec.msgpack.encode(kept))
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        finally:
            with contextlib.suppress(OSError):
                partial.unlink()

    def read(self) -> tuple[Revision, Bundle, dict[str, frozenset[str]]] | None:
        """What was kept; None where nothing was. Raises `BundleError` for a file that was cut or changed."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise BundleError(f"{self.path} can't be read: {error.strerror}") from error
        try:
            kept = msgspec.msgpack.decode(raw, type=_Kept)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise BundleError(f"{self.path} is damaged: {error}") from error
        bundle = Bundle.from_bytes(kept.bundle, kept.revision.bundle)
        return kept.revision, bundle, {name: frozenset(each) for name, each in kept.ancestry.items()}
