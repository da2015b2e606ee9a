"""The model registry: a folder of immutable versions, each told by the hash of its content.

    REGISTRY/<model>/<version>/model.onnx       the model, calibration included
                               metadata.json    features in order, how it was made, its figures
                               card.md, calibration.svg
    REGISTRY/<model>/LATEST                     the version that a new bundle pins

A version is written aside and renamed into place, so that a reader sees all of it or nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.values import EpochMs

MAX_BYTES = 64 << 20  # 2,000 trees of depth 8 take 30 MB
OPEN_SECONDS = 60  # a child process that imports ONNX Runtime on a busy small machine, with room
NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


class ModelError(Exception):
    """A model or version that is not there, is damaged, or can't be opened; the message says which and where."""


class ModelMetadata(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a version is.

    Attributes:
        features: Fact names in the order of the vector.
        created: When it was trained; not part of the version's hash.
        metrics: Figures on the hold-out (`roc_auc`, `log_loss`, `rows`, ...).
        origin: How it was made: data, split, parameters, library versions.
    """

    model: str
    features: tuple[str, ...]
    created: EpochMs
    metrics: Mapping[str, float]
    origin: Mapping[str, object]


class ModelVersion(msgspec.Struct, frozen=True):
    """A version with its metadata and folder."""

    version: str
    metadata: ModelMetadata
    folder: str


class ModelRegistry:
    """Versions of models under one folder. Safe for several processes: versions are never changed once there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def names(self) -> tuple[str, ...]:
        """Models that have at least one version, sorted."""
        if not self.folder.is_dir():
            return ()
        return tuple(sorted(p.name for p in self.folder.iterdir() if NAME.fullmatch(p.name) and self.versions(p.name)))

    def versions(self, name: str) -> tuple[ModelVersion, ...]:
        """All versions of a model, newest first; empty for an unknown one."""
        home = self.folder / name
        if not home.is_dir():
            return ()
        found = [self.get(name, p.name) for p in home.iterdir() if (p / "metadata.json").is_file()]
        return tuple(sorted(found, key=lambda each: (-each.metadata.created, each.version)))

    def latest(self, name: str) -> str | None:
        """The version that a new bundle pins: the one added last. None where the model has none."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            return (self.folder / name / "LATEST").read_text("utf-8").strip()
        return None

    def get(self, name: str, version: str) -> ModelVersion:
        """Metadata of a version. Raises `ModelError` where it is missing or unreadable."""
        home = self.folder / name / version
        try:
            metadata = msgspec.json.decode((home / "metadata.json").read_bytes(), type=ModelMetadata)
        except FileNotFoundError as error:
            known = ", ".join(each[:12] for each in self._known(name)) or "none"
            msg = (
                f"model {name} has no version {version[:12]} in {self.folder} (there: {known}); train or copy it there"
            )
            raise ModelError(msg) from error
        except (msgspec.MsgspecError, OSError) as error:
            msg = f"{home / 'metadata.json'} can't be read: {error}"
            raise ModelError(msg) from error
        return ModelVersion(version, metadata, str(home))

    def read(self, name: str, version: str) -> tuple[ModelMetadata, bytes]:
        """Metadata and the ONNX file of a version, its hash checked. Raises `ModelError`."""
        found = self.get(name, version)
        path = Path(found.folder) / "model.onnx"
        try:
            if path.stat().st_size > MAX_BYTES:
                msg = f"{path} is larger than {MAX_BYTES >> 20} MiB"
                raise ModelError(msg)
            raw = path.read_bytes()
        except OSError as error:
            msg = f"{path} can't be read: {error}"
            raise ModelError(msg) from error
        if version_of(raw, found.metadata.model, found.metadata.features) != version:
            msg = (
                f"{path} is not what its version {version[:12]} says: it was changed or damaged; restore or retrain it"
            )
            raise ModelError(msg)
        return found.metadata, raw

    def add(self, onnx: bytes, metadata: ModelMetadata, pages: Mapping[str, str]) -> str:
        """Store a version and make it the latest; returns its hash. Storing the same content again changes nothing else.

        The file is first opened in a child process, since a damaged one can take down the process that opens it.

        Args:
            onnx: The serialised model.
            metadata: What it is; `metadata.model` names it.
            pages: Text files to keep beside it, by name (`card.md`, `calibration.svg`).

        Raises:
            ModelError: The name is not one, the file is too large or can't be opened, or the folder can't be written.
        """
        if not NAME.fullmatch(metadata.model):
            msg = f"{metadata.model!r} is no model name: lower-case letters, digits and _, at most 64, a letter first"
            raise ModelError(msg)
        if len(onnx) > MAX_BYTES:
            msg = f"the model has {len(onnx) >> 20} MiB, at most {MAX_BYTES >> 20} are taken"
            raise ModelError(msg)
        version = version_of(onnx, metadata.model, metadata.features)
        home = self.folder / metadata.model
        partial = home / f".{version}.{secrets.token_hex(4)}"
        try:
            partial.mkdir(parents=True)
            (partial / "model.onnx").write_bytes(onnx)
            open_in_child(partial / "model.onnx", len(metadata.features))
            (partial / "metadata.json").write_bytes(msgspec.json.format(msgspec.json.encode(metadata), indent=1))
            for name, text in pages.items():
                (partial / name).write_text(text, "utf-8")
            with contextlib.suppress(OSError):  # the same version is there already
                partial.rename(home / version)
            latest = home / f".LATEST.{secrets.token_hex(4)}"
            latest.write_text(version + "\n", "utf-8")
            latest.replace(home / "LATEST")
        except OSError as error:
            msg = f"the registry {self.folder} can't be written: {error.strerror}"
            raise ModelError(msg) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return version

    def _known(self, name: str) -> list[str]:
        home = self.folder / name
        return sorted(p.name for p in home.iterdir() if not p.name.startswith((".", "LATEST"))) if home.is_dir() else []


def version_of(onnx: bytes, model: str, features: tuple[str, ...]) -> str:
    """SHA-256 (hex) of what answers depend on: the file, the model's name and its features in order."""
    head = msgspec.json.encode([model, features])
    return hashlib.sha256(len(head).to_bytes(4, "big") + head + onnx).hexdigest()


def open_in_child(path: Path, features: int) -> None:
    """Open a model and run it once in a process of its own. Raises `ModelError` with what went wrong there."""
    command = [sys.executable, "-m", "models.onnx_probe", str(path), str(features)]
    root = str(Path(__file__).resolve().parent.parent)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=OPEN_SECONDS, check=False, env=environment
        )
    except subprocess.TimeoutExpired as error:
        msg = f"{path.name} could not be opened within {OPEN_SECONDS} s"
        raise ModelError(msg) from error
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        msg = f"{path.name} is not a usable model: {last}"
        raise ModelError(msg)
