"""What an installation draws once and keeps: the same for all its processes."""

from __future__ import annotations

import secrets

from engine.ports import ConflictError, Tables

TABLE = "installation"
SALT = "holdout_salt"
PREVIEW = "preview_secret"


def holdout_salt(tables: Tables) -> str:
    """The salt of this installation's holdouts, drawn at its first use; raises `PortError`."""
    return _drawn(tables, SALT).decode()


def preview_secret(tables: Tables) -> bytes:
    """What signs previews of this installation, drawn at its first use; raises `PortError`."""
    return _drawn(tables, PREVIEW)


def _drawn(tables: Tables, name: str) -> bytes:
    while True:
        row = tables.get(TABLE, name)
        if row is not None:
            return row.value
        try:
            tables.put(TABLE, name, secrets.token_hex(16).encode(), expected=0)
        except ConflictError:
            continue  # another process drew first; what it drew counts
