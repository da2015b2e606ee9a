"""Caps and budgets in one SQLite file.

A counter per cap and period says how much is taken; beside it stand the single takes that may have to leave it again:
those that are held, and those of sliding windows. Every call first gives back the holds that ran out, and moves the
windows of its caps on, so that a counter that is read is exact at that moment.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import msgspec

from connectors.sqlite_file import SqliteFile
from engine.ports import Cap, Claim, Verdict
from engine.values import EpochMs, Millis

SCHEMA = (
    """
    CREATE TABLE counters (key TEXT, period INTEGER, used INTEGER NOT NULL, expires INTEGER NOT NULL,
                           PRIMARY KEY (key, period)) WITHOUT ROWID;
    CREATE INDEX counters_expires ON counters (expires);
    CREATE TABLE takes (token TEXT, key TEXT, period INTEGER, amount INTEGER NOT NULL, time INTEGER NOT NULL,
                        PRIMARY KEY (token, key, period)) WITHOUT ROWID;
    CREATE INDEX takes_sliding ON takes (key, time) WHERE period = -1;
    CREATE TABLE tokens (token TEXT PRIMARY KEY, hold_until INTEGER, expires INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX tokens_held ON tokens (hold_until) WHERE hold_until IS NOT NULL;
    CREATE INDEX tokens_expires ON tokens (expires)
    """,
)

SLIDING = -1
EVER = -2
"""`period` of caps that are not of a calendar period, whose number is the moment of its beginning."""

EVER_MS: Millis = 400 * 86_400_000
"""A cap without a period is forgotten this long after its last take: longer than "once a year" can mean."""

SLACK_MS: Millis = 86_400_000
"""What has expired stays a day longer, for callers whose clock is behind, such as a replay."""

FORGET_CHUNK = 500
"""Expired rows leave in steps of this many per take."""


class SqliteLimits:
    """`LimitStore` in a file.

    A token that is taken again while it is held holds for `hold` from then on; with `hold` None it is confirmed.
    """

    def __init__(self, path: Path) -> None:
        self._file = SqliteFile(path, SCHEMA)

    def take(self, claims: Sequence[Claim], slots: int, now: EpochMs, hold: Millis | None) -> Sequence[Verdict]:
        """Judge the claims in order, in one transaction."""
        verdicts: list[Verdict] = []
        with self._file.writing() as db:
            _forget(db, now)
            for claim in claims:
                _give_back(db, now)  # for each: a hold of nothing runs out at once
                if slots <= 0:
                    verdicts.append(Verdict(claim.token, granted=False, asked=False))
                    continue
                refused_by = None if _repeat(db, claim.token, now, hold) else _take(db, claim, now, hold)
                verdicts.append(Verdict(claim.token, granted=refused_by is None, refused_by=refused_by))
                slots -= refused_by is None
        return verdicts

    def confirm(self, token: str, now: EpochMs) -> bool:
        """Make a held token one that is taken for good."""
        with self._file.writing() as db:
            _give_back(db, now)
            if not db.execute("UPDATE tokens SET hold_until = NULL WHERE token = ?", (token,)).rowcount:
                return False
            db.execute("DELETE FROM takes WHERE token = ? AND period != ?", (token, SLIDING))
            return True

    def used(self, caps: Sequence[Cap], now: EpochMs) -> Sequence[int]:
        """Read the counters as they are at this moment."""
        with self._file.writing() as db:
            _give_back(db, now)
            return [_used_with(db, cap, now) for cap in caps]

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _period(cap: Cap) -> int:
    if cap.sliding is not None:
        return SLIDING
    return EVER if cap.bucket is None else cap.bucket


def _expires(cap: Cap, now: EpochMs) -> EpochMs:
    if cap.sliding is not None:
        return now + cap.sliding
    return now + EVER_MS if cap.expires is None else cap.expires


def _used_with(db: sqlite3.Connection, cap: Cap, now: EpochMs) -> int:
    """What is taken of a cap, and of those that count with it."""
    keys = (cap.key, *cap.also)
    return sum(_used(db, cap if key == cap.key else msgspec.structs.replace(cap, key=key), now) for key in keys)


def _used(db: sqlite3.Connection, cap: Cap, now: EpochMs) -> int:
    period = _period(cap)
    if cap.sliding is not None:
        # A take counts for exactly `sliding` ms: at its time plus that it is free again.
        before = now - cap.sliding
        passed, amount = db.execute(
            "SELECT count(*), sum(amount) FROM takes WHERE key = ? AND period = -1 AND time <= ?", (cap.key, before)
        ).fetchone()
        if passed:
            db.execute("DELETE FROM takes WHERE key = ? AND period = -1 AND time <= ?", (cap.key, before))
            db.execute("UPDATE counters SET used = used - ? WHERE key = ? AND period = -1", (amount, cap.key))
    row = db.execute("SELECT used FROM counters WHERE key = ? AND period = ?", (cap.key, period)).fetchone()
    return int(row[0]) if row else 0


def _repeat(db: sqlite3.Connection, token: str, now: EpochMs, hold: Millis | None) -> bool:
    """Whether the token has taken before; prolongs its hold."""
    row = db.execute("SELECT hold_until FROM tokens WHERE token = ?", (token,)).fetchone()
    if row is None:
        return False
    (hold_until,) = row
    if hold_until is not None:
        until = None if hold is None else max(hold_until, now + hold)
        db.execute("UPDATE tokens SET hold_until = ? WHERE token = ?", (until, token))
    return True


def _take(db: sqlite3.Connection, claim: Claim, now: EpochMs, hold: Millis | None) -> str | None:
    """Take from all caps, or from none; return the key of the first that refuses."""
    for cap in claim.caps:
        if _used_with(db, cap, now) + cap.amount > cap.most:
            return cap.key
    for cap in claim.caps:
        key, period = cap.key, _period(cap)
        db.execute(
            "INSERT INTO counters (key, period, used, expires) VALUES (?, ?, ?, ?) ON CONFLICT (key, period) DO UPDATE "
            "SET used = used + excluded.used, expires = max(expires, excluded.expires)",
            (key, period, cap.amount, _expires(cap, now)),
        )
        if hold is not None or period == SLIDING:
            db.execute("INSERT INTO takes VALUES (?, ?, ?, ?, ?)", (claim.token, key, period, cap.amount, now))
    expires = max((_expires(cap, now) for cap in claim.caps), default=now)
    until = None if hold is None else now + hold
    db.execute("INSERT INTO tokens VALUES (?, ?, ?)", (claim.token, until, max(expires, until or 0)))
    return None


def _give_back(db: sqlite3.Connection, now: EpochMs) -> None:
    """Undo what was held until now or earlier."""
    _undo(db, [token for (token,) in db.execute("SELECT token FROM tokens WHERE hold_until <= ?", (now,))])


def _forget(db: sqlite3.Connection, now: EpochMs) -> None:
    """Drop what can't count any more."""
    before = now - SLACK_MS
    _undo(db, [t for (t,) in db.execute("SELECT token FROM tokens WHERE expires < ? LIMIT ?", (before, FORGET_CHUNK))])
    db.execute(
        "DELETE FROM counters WHERE (key, period) IN (SELECT key, period FROM counters WHERE expires < ? LIMIT ?)",
        (before, FORGET_CHUNK),
    )


def _undo(db: sqlite3.Connection, tokens: Sequence[str]) -> None:
    if not tokens:
        return
    listed = (json.dumps(tokens),)
    amounts = db.execute(
        "SELECT sum(amount), key, period FROM takes WHERE token IN (SELECT value FROM json_each(?)) GROUP BY key, period",
        listed,
    ).fetchall()
    db.executemany("UPDATE counters SET used = used - ? WHERE key = ? AND period = ?", amounts)
    db.execute("DELETE FROM takes WHERE token IN (SELECT value FROM json_each(?))", listed)
    db.execute("DELETE FROM tokens WHERE token IN (SELECT value FROM json_each(?))", listed)
