"""The draft: files that differ from what is live, shared by everybody who edits, each with a version of its own.

A file of the draft remembers the live text on which it is based, so that a publication by somebody else is noticed, and
every save names the version that its author saw, so that two people never overwrite each other unseen. What somebody
decides against in a conflict is set aside, not thrown away.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from engine.ports import ConflictError, Tables
from engine.values import EpochMs

TABLE = "drafts"
ASIDE = "drafts_aside"
KEPT_ASIDE = 50
"""Set-aside texts kept, over all files; at 10 KB a text half a megabyte."""


KEPT_HASHES = 100
"""Texts that a file remembers having grown out of, at 67 bytes each."""


def text_hash(text: str | None) -> str | None:
    """SHA-256 (hex) of a text: what texts are compared by. None stands for "no such file"."""
    return None if text is None else hashlib.sha256(text.encode()).hexdigest()


class Edit(msgspec.Struct, frozen=True):
    """What somebody saves.

    Attributes:
        text: The whole text, None to delete the file.
        version: The version that its author saw, 0 for a file never saved in the draft.
        base: `text_hash` of the live text that its author saw.
        contains: Hash of a text about to go live whose change this one holds, too.
    """

    path: str
    text: str | None
    version: int
    base: str | None
    contains: str | None = None


class DraftFile(msgspec.Struct, frozen=True):
    """A file of the draft.

    Attributes:
        text: Its whole text; None where the draft deletes the file.
        grown_from: Hashes of the texts that it grew out of: the live one when the edit began, then every one saved.
            None stands for "no such file". A live text that is none of them holds changes that it lacks.
    """

    text: str | None
    grown_from: tuple[str | None, ...]
    author: str
    time: EpochMs


class AsideText(msgspec.Struct, frozen=True):
    """A text that lost a conflict or was discarded; kept so that nothing is lost."""

    path: str
    text: str
    author: str
    time: EpochMs
    because: str


@dataclass(frozen=True, slots=True)
class Draft:
    """The draft as it is now, beside the live sources.

    Attributes:
        files: The files in which the draft differs from live, by path.
        versions: The version of every file that was ever saved and is not discarded; others are at version 0.
        outdated: Files whose live text was changed by somebody after the draft's edit began.
    """

    files: Mapping[str, DraftFile]
    versions: Mapping[str, int]
    outdated: tuple[str, ...]

    def sources(self, live: Mapping[str, str]) -> dict[str, str]:
        """All files with the draft's in place of the live ones, sorted by path."""
        merged: dict[str, str | None] = {**live, **{path: file.text for path, file in self.files.items()}}
        return {path: text for path, text in sorted(merged.items()) if text is not None}


class DraftConflictError(Exception):
    """Somebody else changed the file first; nothing was saved.

    Attributes:
        theirs: The text as it is now, None where there is no such file any more.
        author: Who changed it.
        version: The version to save over, if theirs is to be replaced.
        base: The base to save with.
    """

    def __init__(self, path: str, theirs: str | None, author: str, version: int, base: str | None) -> None:
        super().__init__(f"{path} was changed by {author} meanwhile")
        self.path = path
        self.theirs = theirs
        self.author = author
        self.version = version
        self.base = base


class Drafts:
    """The draft in the control tables. Every method raises `PortError` when they can't be reached."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def read(self, live: Mapping[str, str]) -> Draft:
        """The draft as it is now, beside these live sources. A file that has gone live differs no more and is not in it."""
        rows = self._tables.rows(TABLE)
        stored = {path: msgspec.json.decode(row.value, type=DraftFile) for path, row in rows.items()}
        files = {path: file for path, file in stored.items() if file.text != live.get(path)}
        outdated = tuple(path for path, file in files.items() if base_of(live, path) not in file.grown_from)
        return Draft(files, {path: row.version for path, row in rows.items()}, outdated)

    def save(self, edit: Edit, live: Mapping[str, str], author: str, now: EpochMs) -> int:
        """Save a file and return its version; a text equal to the live one takes it out of the draft (version 0).

        Raises:
            DraftConflictError: The file is at another version, or its live text has changed.
        """
        row = self._tables.get(TABLE, edit.path)
        if (0 if row is None else row.version) != edit.version:
            raise self._conflict(edit.path, live)
        stored = None if row is None else msgspec.json.decode(row.value, type=DraftFile)
        current = base_of(live, edit.path)
        grown_from: tuple[str | None, ...]
        if stored is None or text_hash(stored.text) == edit.base:  # the author saw the live text
            if edit.base != current:
                raise self._conflict(edit.path, live)
            grown_from = (current,)
        else:
            grown_from = (*stored.grown_from, text_hash(stored.text))[-KEPT_HASHES:]
        if edit.contains is not None:
            grown_from = (*grown_from, edit.contains)
        is_live = edit.text == live.get(edit.path)
        if is_live and row is None:
            return 0
        file = DraftFile(edit.text, grown_from, author, now)
        try:
            saved = self._tables.put(
                TABLE, edit.path, None if is_live else msgspec.json.encode(file), expected=edit.version
            )
        except ConflictError:
            raise self._conflict(edit.path, live) from None
        return 0 if is_live else saved

    def discard(self, path: str, author: str, now: EpochMs) -> None:
        """Take a file out of the draft; its text is set aside."""
        row = self._tables.get(TABLE, path)
        if row is None:
            return
        file = msgspec.json.decode(row.value, type=DraftFile)
        if file.text is not None:
            self.set_aside(AsideText(path, file.text, file.author, now, f"discarded by {author}"))
        self._tables.put(TABLE, path, None)

    def accept(self, path: str, live: Mapping[str, str]) -> None:
        """Say that what was published meanwhile has been looked at, and that the draft's text is to replace it."""
        row = self._tables.get(TABLE, path)
        if row is not None:
            file = msgspec.json.decode(row.value, type=DraftFile)
            seen = msgspec.structs.replace(file, grown_from=(*file.grown_from, base_of(live, path)))
            self._tables.put(TABLE, path, msgspec.json.encode(seen), expected=row.version)

    def set_aside(self, aside: AsideText) -> None:
        """Keep a text that would be lost."""
        key = f"{aside.time:015d}/{aside.path}"
        self._tables.put(ASIDE, key, msgspec.json.encode(aside))
        for old in list(self._tables.rows(ASIDE))[:-KEPT_ASIDE]:
            self._tables.put(ASIDE, old, None)

    def aside(self, path: str) -> Sequence[tuple[str, AsideText]]:
        """Set-aside texts of a file with their keys, newest first."""
        rows = self._tables.rows(ASIDE)
        texts = [(key, msgspec.json.decode(row.value, type=AsideText)) for key, row in rows.items()]
        return [(key, text) for key, text in reversed(texts) if text.path == path]

    def _conflict(self, path: str, live: Mapping[str, str]) -> DraftConflictError:
        draft = self.read(live)
        version, base = draft.versions.get(path, 0), base_of(live, path)
        file = draft.files.get(path)
        if file is None:
            return DraftConflictError(path, live.get(path), "a publication", version, base)
        return DraftConflictError(path, file.text, file.author, version, base)


def base_of(live: Mapping[str, str], path: str) -> str | None:
    """The hash of a file's live text, None where there is no such file."""
    return text_hash(live.get(path))
