"""The people who may sign in: names, roles and password hashes, in the control tables."""

from __future__ import annotations

import enum
import hashlib
import re
from collections.abc import Sequence

import msgspec
from werkzeug.security import check_password_hash, generate_password_hash

from engine.ports import Tables
from engine.values import EpochMs

TABLE = "users"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
MIN_PASSWORD = 10
_SCRYPT = "scrypt:32768:8:1"  # 32 MiB and about 60 ms a guess (OWASP's minimum for scrypt is half of it in memory)


class Role(enum.StrEnum):
    """What somebody may do; each may also do what the one before may."""

    VIEWER = "viewer"
    EDITOR = "editor"
    PUBLISHER = "publisher"

    def may(self, needed: Role) -> bool:
        """Whether this role includes the needed one."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


class Account(msgspec.Struct, frozen=True):
    """A person who may sign in. `password` is a salted hash, never the password."""

    name: str
    role: Role
    password: str
    created: EpochMs

    @property
    def stamp(self) -> str:
        """Changes with the password, so that a session signed in with the old one ends."""
        return hashlib.sha256(self.password.encode()).hexdigest()[:16]


class AccountError(ValueError):
    """Why an account can't be made or changed, in plain words."""


_NOBODY = generate_password_hash("nobody has this password", method=_SCRYPT)


class Accounts:
    """Accounts in the control tables. Every method raises `PortError` when the tables can't be reached."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, name: str) -> Account | None:
        """The account of this name."""
        row = self._tables.get(TABLE, name)
        return None if row is None else msgspec.json.decode(row.value, type=Account)

    def all(self) -> Sequence[Account]:
        """All accounts by name."""
        return [msgspec.json.decode(row.value, type=Account) for row in self._tables.rows(TABLE).values()]

    def verify(self, name: str, password: str) -> Account | None:
        """The account, where the password is right. Takes as long for a name that nobody has."""
        account = self.get(name) if NAME.fullmatch(name) else None
        is_right = check_password_hash(_NOBODY if account is None else account.password, password)
        return account if is_right else None

    def add(self, name: str, role: Role, password: str, now: EpochMs) -> Account:
        """Make an account; raises `AccountError` for a bad name, a weak password or a name that is taken."""
        if not NAME.fullmatch(name):
            raise AccountError(
                f"“{name}” is no user name: use letters, digits and . _ @ -, at most 64, a letter or digit first"
            )
        if self.get(name) is not None:
            raise AccountError(f"there is a user {name} already")
        account = Account(name, role, _hashed(password), now)
        self._tables.put(TABLE, name, msgspec.json.encode(account), expected=0)
        return account

    def set_password(self, name: str, password: str) -> None:
        """Change a password; all sessions of the account end."""
        account, version = self._known(name)
        changed = msgspec.structs.replace(account, password=_hashed(password))
        self._tables.put(TABLE, name, msgspec.json.encode(changed), expected=version)

    def set_role(self, name: str, role: Role) -> None:
        """Change a role; it counts from the next request."""
        account, version = self._known(name)
        self._tables.put(
            TABLE, name, msgspec.json.encode(msgspec.structs.replace(account, role=role)), expected=version
        )

    def remove(self, name: str) -> None:
        """Remove an account; all sessions of it end."""
        self._known(name)
        self._tables.put(TABLE, name, None)

    def _known(self, name: str) -> tuple[Account, int]:
        row = self._tables.get(TABLE, name)
        if row is None:
            raise AccountError(f"there is no user {name}")
        return msgspec.json.decode(row.value, type=Account), row.version


def _hashed(password: str) -> str:
    if len(password) < MIN_PASSWORD:
        raise AccountError(f"a password needs at least {MIN_PASSWORD} characters, this one has {len(password)}")
    return generate_password_hash(password, method=_SCRYPT)
