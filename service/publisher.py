"""The one path by which rules become live: command line, admin UI and watched folder all go through here.

A publication is checked, pinned to models, tested, stored, staged; every live process that decides loads it aside and
answers; when all agree, the live pointer flips by compare-and-set. A refusal leaves everything as it was.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from engine.bundle import Bundle, Revision
from engine.language import Checked, check
from engine.language.diagnostics import render
from engine.language.tree import Program
from engine.ports import ConflictError, Tables
from engine.values import Millis
from service.clock import Clock, wall_ms
from service.control import Control, Refusal, Stage
from service.loading import BundleRefusedError, Compiled, compile_bundle
from service.signing import Signing, SigningError

ANSWER_MS: Millis = 20_000
"""How long a live process may take to load: the network of 10,000 rules is built in less than half of it."""

STAGE_GRACE_MS: Millis = 5_000
"""So long after the last answer was due, a stage belongs to a publisher that died."""

LOOK_MS: Millis = 20


class PublishRefusedError(BundleRefusedError):
    """A publication that did not become live; what was live still is."""


class PublishBusyError(Exception):
    """Another publication is on its way, or won; the message names it. Try again."""


class Registry(Protocol):
    """What the publisher asks the model registry."""

    def latest(self, name: str) -> str | None:
        """The version that a new bundle pins; None where the model has none."""


class Published(msgspec.Struct, frozen=True):
    """How a publication ended.

    Attributes:
        revision: What is live now; for a dry run what would be.
        changed: False where the same bundle was live already and nothing was done.
        acknowledged: Processes that loaded it before the flip.
        missing: Processes that stopped giving signs of life meanwhile; they load it when they come back.
        warnings: What does not keep it from being live: the checker's warnings, models without a version.
        tests: How many tests beside the rules passed.
        dry_run: Nothing was stored or staged.
    """

    revision: Revision
    changed: bool
    acknowledged: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    tests: int = 0
    dry_run: bool = False


Watcher = Callable[[tuple[str, ...], tuple[str, ...]], None]
"""Told while a stage waits: processes that agreed, processes still waited for."""


class Publisher:
    """Publishes and rolls back. Safe to use from several processes at once: one wins, the others are told so.

    Args:
        tables: The control tables.
        registry: Versions of models.
        signing: The keys of this host.
        answer_ms: How long a live process may take to answer.
    """

    def __init__(
        self,
        tables: Tables,
        registry: Registry,
        signing: Signing,
        *,
        answer_ms: Millis = ANSWER_MS,
        clock: Clock = wall_ms,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.control = Control(tables)
        self._registry = registry
        self.signing = signing
        self._answer_ms = answer_ms
        self._clock = clock
        self._sleep = sleep
        self._former: Compiled | None = None

    # -------------------------------------------------------------- reading

    def check(self, sources: Mapping[str, str]) -> Checked:
        """The checker over all files; the same that a publication runs."""
        return check(sources, None if self._former is None else self._former.checked)

    def live(self) -> Revision | None:
        """What is live."""
        return self.control.live()[0]

    def history(self) -> list[Revision]:
        """All revisions, newest first."""
        return self.control.history()

    def bundle(self, bundle_hash: str) -> Bundle:
        """A stored bundle; raises `KeyError` where there is none."""
        return self.control.bundle(bundle_hash)

    # -------------------------------------------------------------- writing

    def publish(
        self,
        sources: Mapping[str, str],
        author: str,
        note: str,
        *,
        dry_run: bool = False,
        pins: Mapping[str, str] | None = None,
        watcher: Watcher | None = None,
    ) -> Published:
        """Make sources live.

        Args:
            sources: Text by path in the ruleset folder.
            author: Who publishes, for the history.
            note: Why.
            dry_run: Check, pin and test only.
            pins: Versions of models that shall not be the newest.
            watcher: Told how far the stage is.

        Raises:
            PublishRefusedError: The checker, a test or a process says no, or it can't be signed; `reasons` has all of it.
            PublishBusyError: Another publication is on its way.
            PortError: The tables can't be reached.
        """
        live, version = self.control.live()
        try:
            compiled, warnings = self._prepare(sources, pins or {})
        except PublishRefusedError as refused:
            if not dry_run:
                self._keep_refusal(author, note, refused.reasons)
            raise
        bundle_hash = compiled.bundle.hash
        number = 1 if live is None else live.number + 1
        revision = Revision(number, bundle_hash, author, self._clock(), note)
        passed = len(compiled.tests)
        if live is not None and live.bundle == bundle_hash and self.signing.accepts(live):
            return Published(live, changed=False, warnings=warnings, tests=passed, dry_run=dry_run)
        if dry_run:
            return Published(revision, changed=True, warnings=warnings, tests=passed, dry_run=True)
        revision = self._signed(revision)
        self.control.store(compiled.bundle, compiled.network.rule_digests)
        acknowledged, missing = self._carry_out(revision, version, watcher)
        return Published(revision, True, acknowledged, missing, warnings, passed)

    def rollback(
        self,
        reason: str,
        author: str,
        to: int | None = None,
        *,
        dry_run: bool = False,
        watcher: Watcher | None = None,
    ) -> Published:
        """Bring the bundle of a former revision back, as a new revision; the watched folder is held back.

        Args:
            reason: Why; must not be empty.
            author: Who does it.
            to: The number to go back to; None: what was live before the present bundle.
            dry_run: Say what would be done.
            watcher: Told how far the stage is.

        Raises:
            PublishRefusedError: No reason, no such revision, or a process can't load it any more.
            PublishBusyError: Another publication is on its way.
        """
        if not reason.strip():
            raise PublishRefusedError(("a rollback needs a reason: the next one will ask why",))
        live, version = self.control.live()
        if live is None:
            raise PublishRefusedError(("nothing was ever published, so there is nothing to go back to",))
        target = self._target(live, to)
        self._vouched(target)
        number = live.number + 1
        revision = Revision(number, target.bundle, author, self._clock(), reason, restores=target.number)
        if dry_run:
            return Published(revision, changed=True, dry_run=True)
        try:
            bad = self.control.bundle(live.bundle)
        except (KeyError, ValueError):
            held = None  # what is live can't be read: one more reason to leave it
        else:
            held = content_hash(bad.sources)
        self._hold_folder(held)
        revision = self._signed(revision)
        acknowledged, missing = self._carry_out(revision, version, watcher)
        return Published(revision, True, acknowledged, missing)

    def sign_anew(self, vouched: Revision, author: str, *, watcher: Watcher | None = None) -> Published:
        """Publish what is live once more, signed by the key that signs now.

        Args:
            vouched: What is live, checked by the keys of before.
            author: Who does it.
            watcher: Told how far the stage is.

        Raises:
            PublishRefusedError: A process does not trust the key, or it can't be signed.
            PublishBusyError: Another publication is on its way, or something else is live.
        """
        live, version = self.control.live()
        if live != vouched:
            raise PublishBusyError("another publication became live meanwhile; look at it, then try again")
        note = f"signed anew; {live.note}" if live.note else "signed anew"
        revision = self._signed(Revision(live.number + 1, live.bundle, author, self._clock(), note, live.restores))
        acknowledged, missing = self._carry_out(revision, version, watcher)
        return Published(revision, True, acknowledged, missing)

    # -------------------------------------------------------------- steps

    def _signed(self, revision: Revision) -> Revision:
        try:
            return self.signing.sign(revision)
        except SigningError as error:
            raise PublishRefusedError((str(error),)) from error

    def _vouched(self, revision: Revision) -> None:
        """What comes from the tables is signed again only if it was: else whoever wrote it there would have our signature."""
        try:
            self.signing.check(revision)
        except SigningError as error:
            raise PublishRefusedError((str(error),)) from error

    def _prepare(self, sources: Mapping[str, str], pins: Mapping[str, str]) -> tuple[Compiled, tuple[str, ...]]:
        """Check, pin, test; the bundle that would be live, and warnings.

        What did not change since the one before, which this publisher prepared, is taken over from it.
        """
        former = self._former
        checked = self.check(sources)
        if checked.program is None:
            raise PublishRefusedError((render(checked.diagnostics, sources),), checked.diagnostics)
        warnings = [f"{each.place.file}:{each.place.line}: {each.message}" for each in checked.diagnostics]
        pinned = self._pins(checked.program, pins)
        bundle = Bundle(dict(sources), {model: version for model, version in pinned.items() if version is not None})
        warnings += [
            f"model {model} has no version yet: rules that ask it go by their if_unavailable"
            for model, version in pinned.items()
            if version is None
        ]
        try:
            self._former = compile_bundle(bundle, self.control.ancestry(), checked, former)
        except BundleRefusedError as refused:
            raise PublishRefusedError(refused.reasons, refused.diagnostics) from refused
        return self._former, tuple(warnings)

    def _pins(self, program: Program, given: Mapping[str, str]) -> Mapping[str, str | None]:
        models = sorted({score.model for score in program.vocabulary.scores.values()})
        return {model: given.get(model) or self._registry.latest(model) for model in models}

    def _target(self, live: Revision, to: int | None) -> Revision:
        if to is not None:
            found = self.control.revision(to)
            if found is None:
                raise PublishRefusedError((f"there is no revision {to}; revisions 1 to {live.number} were live",))
            if found.bundle == live.bundle:
                raise PublishRefusedError((f"revision {to} has the same content as what is live",))
            return found
        for each in self.history():
            if each.number < (live.restores or live.number) and each.bundle != live.bundle:
                return each
        raise PublishRefusedError(("there is no earlier revision with another content",))

    def _carry_out(
        self, revision: Revision, live_version: int, watcher: Watcher | None
    ) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Stage, wait for the processes, flip. Returns who agreed and who went missing."""
        row_version = self.control.row_version(revision.number)
        stage, stage_version = self._stage(revision)
        try:
            acknowledged, missing = self._wait(stage, watcher)
            # The row first: a publisher that ends here leaves a number above the live one, which nobody shows.
            self.control.record(revision, row_version)
            self.control.flip(revision, live_version)
        except BundleRefusedError as refused:
            self._keep_refusal(revision.author, revision.note, refused.reasons)
            raise
        except ConflictError as conflict:
            raise PublishBusyError(
                "another publication became live meanwhile; look at it, then try again"
            ) from conflict
        finally:
            self._unstage(stage_version)
        return acknowledged, missing

    def _stage(self, revision: Revision) -> tuple[Stage, int]:
        present, version = self.control.staged()
        now = self._clock()
        if present is not None and now < present.until:
            raise PublishBusyError(
                f"{present.revision.author} is publishing ({present.revision.note or 'no note'}); try again in a moment"
            )
        stage = Stage(uuid.uuid4().hex, revision, now + self._answer_ms + STAGE_GRACE_MS)
        try:
            stage_version = self.control.stage(stage, version)
        except ConflictError as conflict:
            raise PublishBusyError("another publication has just begun; try again in a moment") from conflict
        self.control.forget_answers()
        return stage, stage_version

    def _wait(self, stage: Stage, watcher: Watcher | None) -> tuple[tuple[str, ...], tuple[str, ...]]:
        asked = set(self.control.serving(self._clock()))
        until = self._clock() + self._answer_ms
        while True:
            answers = self.control.answers(stage)
            refused = [f"{each.process}: {each.reason}" for each in answers.values() if not each.accepted]
            if refused:
                raise PublishRefusedError(tuple(refused))
            now = self._clock()
            live = set(self.control.serving(now))
            waiting = (asked & live) - answers.keys()
            if watcher is not None:
                watcher(tuple(sorted(answers)), tuple(sorted(waiting)))
            if not waiting:
                return tuple(sorted(answers)), tuple(sorted(asked - live - answers.keys()))
            if now >= until:
                names = ", ".join(sorted(waiting))
                seconds = self._answer_ms // 1000
                raise PublishRefusedError((f"{names} gave no answer within {seconds} s; see its log, then try again",))
            self._sleep(LOOK_MS / 1000)

    def _unstage(self, version: int) -> None:
        with contextlib.suppress(ConflictError):  # it expired, and another publisher took its place
            self.control.unstage(version)

    def _keep_refusal(self, author: str, note: str, reasons: tuple[str, ...]) -> None:
        self.control.refuse(Refusal(self._clock(), author, note, reasons))

    def _hold_folder(self, held: str | None) -> None:
        while True:
            report, version = self.control.folder()
            changed = msgspec.structs.replace(report, held=held, time=self._clock())
            try:
                self.control.report_folder(changed, version)
            except ConflictError:
                continue
            return


def content_hash(sources: Mapping[str, str]) -> str:
    """Hash of the text of a folder, whatever models it is pinned to."""
    return Bundle(dict(sources)).hash
