"""Editor: the files of the draft as text, with live diagnostics, the sentence of each rule, and completion."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

import msgspec
from flask import Blueprint, abort, flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from admin_ui.accounts import Role
from admin_ui.compiled import Compiled
from admin_ui.completion import complete
from admin_ui.context import backend, compiled_draft, draft, draft_sources, drafts, live, live_sources, parts, person
from admin_ui.differences import yaml_difference
from admin_ui.drafts import AsideText, DraftConflictError, Edit, base_of
from admin_ui.security import needs
from engine.language.diagnostics import Diagnostic, Severity
from engine.language.sentence import rule_sentence

blueprint = Blueprint("editor", __name__)

FILE = re.compile(r"[a-z0-9][a-z0-9_-]{0,60}\.yaml")
T = TypeVar("T")
_NEW = """ruleset: {name}
owner: {owner}
rules:
"""


class Typed(msgspec.Struct):
    """The text of a file as it stands in the browser."""

    path: str
    text: str


class Saved(msgspec.Struct):
    """A text to save, with what its author saw when it was opened."""

    path: str
    text: str
    version: int
    base: str | None


class Cursor(msgspec.Struct):
    """A text with the place of the cursor, counted from 1."""

    path: str
    text: str
    line: int
    column: int


class Chosen(msgspec.Struct):
    """What somebody decided in a conflict: the text that is not taken, to be set aside."""

    path: str
    text: str
    author: str
    because: str


@blueprint.get("/editor")
def show() -> ResponseReturnValue:
    """One file of the draft."""
    sources = draft_sources()
    path = request.args.get("file") or _first(sources)
    if path is not None and path not in sources:
        if path in draft().versions or path in live_sources():
            flash(f"The draft deletes {path}.", "warn")
            return redirect(url_for("editor.show"))
        abort(404, f"There is no file {path}.")
    compiled = compiled_draft() if sources else None
    return render_template(
        "editor.html",
        files=_files(sources, compiled),
        deleted=[each for each, file in draft().files.items() if file.text is None],
        may_go=path is not None and path not in _COMMON,
        path=path,
        text="" if path is None else sources[path],
        version=0 if path is None else draft().versions.get(path, 0),
        base=None if path is None else base_of(live_sources(), path),
        line=request.args.get("line", type=int),
        file=None if path is None else draft().files.get(path),
        is_outdated=path in draft().outdated,
        live_text="" if path is None else live_sources().get(path, ""),
        aside=[] if path is None else drafts().aside(path),
        revision=live(),
        state=None if compiled is None or path is None else {"text": sources[path], **_state(path, compiled)},
    )


@blueprint.post("/editor/check")
def check() -> ResponseReturnValue:
    """What the checker says of the draft with the typed text in place, and the sentence of every rule of the file."""
    typed = _read(Typed)
    compiled = parts().compiler.compile({**draft_sources(), typed.path: typed.text})
    return msgspec.to_builtins(_state(typed.path, compiled))  # type: ignore[no-any-return]


@blueprint.post("/editor/complete")
def propose() -> ResponseReturnValue:
    """What can be written at the cursor, by the words of the last valid draft, else of live."""
    cursor = _read(Cursor)
    current = live()
    program = compiled_draft().program or (None if current is None else current.program)
    start, found = complete(cursor.text, cursor.line, cursor.column, program)
    return {"from": start, "options": msgspec.to_builtins(found)}


@blueprint.post("/editor/save")
@needs(Role.EDITOR)
def save() -> ResponseReturnValue:
    """Save into the draft, or say who was first (409)."""
    saved = _read(Saved)
    if saved.path not in draft_sources() and saved.path not in live_sources():
        abort(404, f"There is no file {saved.path} any more. Copy your text, add the file anew and paste it.")
    try:
        edit = Edit(saved.path, saved.text, saved.version, saved.base)
        version = drafts().save(edit, live_sources(), person().name, backend().now())
    except DraftConflictError as conflict:
        answer = {
            "error": str(conflict),
            "author": conflict.author,
            "theirs": conflict.theirs,
            "version": conflict.version,
            "base": conflict.base,
            "difference": [[line.kind, line.text] for line in yaml_difference(conflict.theirs or "", saved.text)],
        }
        return answer, 409
    return {"version": version, "base": base_of(live_sources(), saved.path)}


@blueprint.post("/editor/aside")
@needs(Role.EDITOR)
def keep_aside() -> ResponseReturnValue:
    """Keep the text that lost a conflict."""
    chosen = _read(Chosen)
    now = backend().now()
    drafts().set_aside(AsideText(chosen.path, chosen.text, chosen.author[:64], now, chosen.because[:200]))
    return "", 204


@blueprint.post("/editor/discard")
@needs(Role.EDITOR)
def discard() -> ResponseReturnValue:
    """Take a file out of the draft."""
    path = request.form.get("path", "")
    drafts().discard(path, person().name, backend().now())
    flash(f"The draft of {path} is discarded. Its text is kept below the editor, under “Set aside”.", "ok")
    target = path if path in live_sources() else None
    return redirect(url_for("editor.show", file=target))


@blueprint.post("/editor/remove")
@needs(Role.EDITOR)
def remove() -> ResponseReturnValue:
    """Take a ruleset file away with the next publication; one that was never live goes at once."""
    path = request.form.get("path", "")
    if path in _COMMON or path not in draft_sources():
        abort(404, f"{path} can't be deleted here.")
    if path not in live_sources():
        return discard()
    version = draft().versions.get(path, 0)
    edit = Edit(path, None, version, base_of(live_sources(), path))
    try:
        drafts().save(edit, live_sources(), person().name, backend().now())
    except DraftConflictError as conflict:
        flash(f"{path} was changed by {conflict.author} this moment. Look at it, then delete it once more.", "warn")
        return redirect(url_for("editor.show", file=path))
    flash(f"The draft deletes {path}. Its rules go on until the draft is published.", "ok")
    return redirect(url_for("editor.show"))


@blueprint.post("/editor/accept")
@needs(Role.EDITOR)
def accept() -> ResponseReturnValue:
    """The draft's text is to replace what was published meanwhile."""
    path = request.form.get("path", "")
    drafts().accept(path, live_sources())
    flash(f"The draft of {path} will replace what was published meanwhile.", "ok")
    return redirect(url_for("editor.show", file=path))


@blueprint.post("/editor/add")
@needs(Role.EDITOR)
def add() -> ResponseReturnValue:
    """Begin a new ruleset file."""
    name = request.form.get("name", "").strip().lower().removesuffix(".yaml").replace(" ", "_")
    path = f"{name}.yaml"
    if not FILE.fullmatch(path):
        flash("Name the file with letters, digits, - and _, for example summer_sale.", "warn")
        return redirect(url_for("editor.show"))
    if path in draft_sources():
        flash(f"There is a file {path} already.", "warn")
        return redirect(url_for("editor.show", file=path))
    text = _NEW.format(name=name.replace("-", "_"), owner=person().name)
    version = draft().versions.get(path, 0)
    edit = Edit(path, text, version, base_of(live_sources(), path))
    try:
        drafts().save(edit, live_sources(), person().name, backend().now())
    except DraftConflictError as conflict:
        flash(f"{conflict.author} has just made a file {path}.", "warn")
    return redirect(url_for("editor.show", file=path))


def _state(path: str, compiled: Compiled) -> dict[str, object]:
    """What the browser shows beside the text."""
    program = compiled.program
    rules = [] if program is None else [rule for rule in program.rules if rule.place.file == path]
    return {
        "diagnostics": [_diagnostic(found) for found in compiled.diagnostics],
        "valid": program is not None,
        "rules": [
            {"name": rule.name, "line": rule.place.line, "sentence": rule_sentence(rule, program)}
            for rule in sorted(rules, key=lambda rule: rule.place.line)
            if program is not None
        ],
    }


def _diagnostic(found: Diagnostic) -> dict[str, object]:
    return {
        "file": found.place.file,
        "line": found.place.line,
        "column": found.place.column,
        "length": found.length,
        "severity": found.severity.value,
        "code": found.code,
        "message": found.message,
        "proposal": found.proposal,
    }


def _files(sources: Mapping[str, str], compiled: Compiled | None) -> list[dict[str, object]]:
    """The files with what marks them, rulesets first."""
    found = () if compiled is None else compiled.diagnostics
    errors = {each.place.file for each in found if each.severity is Severity.ERROR}
    ordered = sorted(sources, key=lambda path: (path in _COMMON, path))
    return [{"path": path, "changed": path in draft().files, "broken": path in errors} for path in ordered]


_COMMON = ("offers.yaml", "segments.yaml", "vocabulary.yaml")


def _first(sources: Mapping[str, str]) -> str | None:
    changed = [path for path in sorted(draft().files) if path in sources]
    rulesets = [path for path in sorted(sources) if path not in _COMMON]
    return next(iter([*changed, *rulesets, *sorted(sources)]), None)


def _read(kind: type[T]) -> T:
    try:
        return msgspec.json.decode(request.get_data(), type=kind)
    except msgspec.MsgspecError as error:
        abort(400, f"The browser sent something that can't be read: {error}. Load the page again.")
