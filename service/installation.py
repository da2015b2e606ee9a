"""What an installation draws once and keeps: the same for all its processes."""

from __future__ import annotations

import secrets

from engine.ports import ConflictError, Tables

TABLE = "installation"
SALT = "holdout_salt"


def holdout_salt(tables: Tables) -> str:
    """The salt of this installation's holdouts, drawn at its first use; raises `PortError`."""
    while True:
        row = tables.get(TABLE, SALT)
        if row is not None:
            return row.value.decode()
        try:
            tables.put(TABLE, SALT, secrets.token_hex(16).encode(), expected=0)
        except ConflictError:
            continue  # another process drew first; its salt counts
