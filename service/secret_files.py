"""Secrets that an installation makes for itself, so that none has a default."""

import contextlib
import os
import secrets
import stat
from pathlib import Path

from config.secret import Secret

LENGTH_BYTES = 32  # 256 bits, as HMAC-SHA256 keys and cookies ask for
ONLY_OWNER = 0o600


class SecretFileError(Exception):
    """A secret's file can't be made, or others may read it."""


def generated_secret(data_dir: Path, name: str) -> Secret:
    """Return the secret `name` of this installation, made at its first use in `data_dir`/secrets.

    Processes that start at the same time get the same one.

    Raises:
        SecretFileError: the file can't be written or read, or is open to other users.
    """
    path = data_dir / "secrets" / name
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            _create(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise SecretFileError(
                f"{path} may be read by other users (mode {mode:o}). If they may have seen it, remove it and a new one is "
                f"made; else: chmod 600 {path}"
            )
        text = path.read_text("ascii").strip()
    except OSError as error:
        raise SecretFileError(f"the secret {path} can't be made or read: {error.strerror}") from error
    if not text:
        raise SecretFileError(f"{path} is empty; remove it and a new one is made")
    return Secret(text)


def _create(path: Path) -> None:
    """Write a new secret at once: a link is there whole or not at all, and the first of several processes wins."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, ONLY_OWNER)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(LENGTH_BYTES) + "\n")
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink()
