"""The ruleset that a process serves: taken out in one reading, replaced in one assignment, loaded aside before."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

from engine.bundle import BundleError, Revision
from engine.ports import PortError, Tables
from engine.rete import IS_COMPILED
from engine.values import Millis
from service.clock import Clock, wall_ms
from service.control import BEAT_MS, Answer, Control, ProcessReport, Stage
from service.last_good import LastGood
from service.loading import BundleRefusedError, Loaded, load, load_stored
from service.signing import Signing, SigningError

logger = logging.getLogger("salience.service.ruleset_holder")

PATIENCE_S = 1.0
"""At a start, so long for tables that say nothing: then what is on the disk serves, and they are waited for beside it."""


ASIDE_POLL_MS: Millis = 20
"""So often it is asked whether what is loaded aside has become live; a publication that does not end is given up by then."""


class NothingLiveError(Exception):
    """No revision was ever published, or none can be had; the message says what to do."""


class RulesetHolder:
    """Keeps `current` at what is live, and answers for this process when a publication asks.

    A background thread polls the control tables. While they can't be reached, the last revision goes on serving;
    `problem` says so. At a start without them the last good bundle on the local disk serves.

    Order at a publication: the stage is seen, the bundle is loaded aside and runs its own tests, the answer is
    written; when the pointer flips, what was loaded becomes `current`. A live bundle that this process can't load is
    never served: the one before stays, with a problem.

    Args:
        tables: The control tables; used from the background thread, and from the one that calls `start`.
        role: `api`, `worker` or `admin`.
        registry: Folder of the model registry.
        data_dir: Where the last good bundle is kept.
        signing: The keys of this host: what none of them vouches for is never served.
        poll_ms: A change is seen within this time.
        on_change: Called in the background thread after `current` changed.
        counts: The process's own counters, for its heartbeat.
    """

    def __init__(
        self,
        tables: Tables,
        *,
        role: str,
        registry: Path,
        data_dir: Path,
        signing: Signing,
        poll_ms: Millis = 200,
        on_change: Callable[[Loaded], None] | None = None,
        counts: Callable[[], Mapping[str, int]] | None = None,
        name: str | None = None,
        clock: Clock = wall_ms,
    ) -> None:
        self.role = role
        self.name = name or f"{role}-{socket.gethostname().split('.')[0]}-{os.getpid()}"
        self._control = Control(tables)
        self._registry = registry
        self._signing = signing
        self._last_good = LastGood(data_dir, role)
        self._poll_ms = poll_ms
        self._on_change = on_change
        self._counts = counts
        self._clock = clock
        self._started = clock()
        self._current: Loaded | None = None
        self._aside: Loaded | None = None
        self._answered: str | None = None
        self._version = -1
        self._beaten = 0
        self._unreachable = ""
        self._reached = False
        self._refused = ""
        self._stop = threading.Event()
        self._has_current = threading.Event()
        self._looked = threading.Event()
        self._serving = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def current(self) -> Loaded | None:
        """What this process serves; None before anything was published. Take it once for each decision or batch."""
        return self._current

    @property
    def problem(self) -> str:
        """What is wrong, as a sentence; empty when nothing is."""
        return self._unreachable or self._refused

    def require(self, timeout_ms: Millis = 0) -> Loaded:
        """`current`, waiting for the first one at most so long. Raises `NothingLiveError`."""
        self._has_current.wait(timeout_ms / 1000)
        if self._current is None:
            reason = self.problem or "nothing was published yet"
            raise NothingLiveError(f"no rules are live: {reason}; publish some with `salience publish`")
        return self._current

    def start(self) -> None:
        """Load what is live, where that can't be had soon the last good bundle; then go on in the background.

        Never raises for want of tables or bundles: `current` is then None and `problem` says why.
        """
        self._thread = threading.Thread(target=self._run, name=f"ruleset {self.role}", daemon=True)
        self._thread.start()
        is_silent = not self._looked.wait(PATIENCE_S)
        if is_silent and not self._reached:
            self._unreachable = f"the control tables have not answered for {PATIENCE_S:g} s"
        else:
            self._looked.wait()  # they answer; what takes its time is the loading
        if self._current is None and self.problem:
            self._start_from_disk()

    def stop(self) -> None:
        """End the background thread and say farewell, so that no publication waits for this process."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self._control.leave(self.name)
        except PortError as error:
            logger.info("could not sign off: %s", error)

    def poll(self) -> None:
        """One look at the tables: what the background thread does every `poll_ms`. Never raises."""
        try:
            version = self._control.version()
            self._reached = True
            if version != self._version:
                self._look()
                self._version = version
            self._beat(force=False)
            self._unreachable = ""
        except PortError as error:
            if not self._unreachable:
                logger.warning("the control tables can't be reached, going on with what is loaded: %s", error)
            self._unreachable = f"the control tables can't be reached: {error}"
        except Exception as error:
            # A row that a newer release wrote, say. Whatever it is, it must not end the thread that brings changes.
            logger.exception("looking at the control tables failed")
            self._unreachable = f"looking at the control tables failed: {error}"

    # -------------------------------------------------------------- steps

    def _run(self) -> None:
        self.poll()
        self._looked.set()
        while not self._stop.wait(self._pause_ms() / 1000):
            self.poll()

    def _pause_ms(self) -> Millis:
        """Until the next look: a short while when something waits to become live, so that all processes change at once."""
        return self._poll_ms if self._aside is None else min(self._poll_ms, ASIDE_POLL_MS)

    def _look(self) -> None:
        # The pointer after the stage: a flip between the two readings is then not missed.
        stage, _ = self._control.staged()
        live, _ = self._control.live()
        if live is not None:
            self._follow(live)
        if stage is not None and stage.id != self._answered and (live is None or stage.revision.number > live.number):
            # The heartbeat before: loading may take longer than three of them.
            self._beat(force=True)
            self._answer(stage)
        if stage is None:
            self._aside = None

    def _follow(self, live: Revision) -> None:
        """Serve what is live."""
        current = self._current
        if current is not None and current.revision == live:
            return
        aside = self._aside
        if aside is None or aside.revision != live:
            try:
                aside = self._load(live)
            except BundleRefusedError as refused:
                self._refused = f"revision {live.number} is live but can't be loaded here: {refused}"
                logger.error("%s", self._refused)  # noqa: TRY400 - the sentence has the reason, its traceback is ours
                self._beat(force=True)
                return
        self._refused = ""
        with self._serving:
            self._serve(aside)
        self._beat(force=True)
        self._keep(aside)

    def _answer(self, stage: Stage) -> None:
        try:
            self._aside = self._load(stage.revision)
        except BundleRefusedError as refused:
            answer = Answer(self.name, False, self._clock(), str(refused))
            logger.warning("revision %d refused: %s", stage.revision.number, refused)
        else:
            answer = Answer(self.name, True, self._clock())
        self._control.answer(stage, answer)
        self._answered = stage.id

    def _check(self, revision: Revision) -> None:
        try:
            self._signing.check(revision, None if self._current is None else self._current.revision)
        except SigningError as error:
            raise BundleRefusedError((str(error),)) from error

    def _load(self, revision: Revision) -> Loaded:
        return load_stored(self._control, self._signing, revision, self._registry, self._current)

    def _serve(self, loaded: Loaded) -> None:
        self._current = loaded
        self._aside = None
        self._has_current.set()
        key, _, _ = loaded.revision.signature.partition(" ")
        signed = f"signed by key {key}" if key else "not signed"
        logger.info("serving revision %d (%s), %s", loaded.revision.number, loaded.revision.bundle[:12], signed)
        if self._on_change is not None:
            self._on_change(loaded)

    def _keep(self, loaded: Loaded) -> None:
        try:
            self._last_good.keep(loaded.revision, loaded.bundle, self._control.ancestry())
        except OSError as error:
            logger.warning("%s can't be written (%s): a start without the tables would be an older revision's",
                           self._last_good.path, error.strerror)  # fmt: skip

    def _start_from_disk(self) -> None:
        try:
            kept = self._last_good.read()
            if kept is not None:
                revision, bundle, ancestry = kept
                self._check(revision)
                loaded = load(revision, bundle, ancestry, self._registry)
                with self._serving:
                    if self._current is None:  # else the tables have answered meanwhile
                        self._serve(loaded)
                        logger.warning("started from %s: %s", self._last_good.path, self.problem)
        except (BundleError, BundleRefusedError) as error:
            self._refused = f"{self._refused}; the last good bundle can't be used: {error}".removeprefix("; ")
            logger.error("%s", self._refused)  # noqa: TRY400 - as above

    def _beat(self, *, force: bool) -> None:
        now = self._clock()
        if not force and now - self._beaten < BEAT_MS:
            return
        current = self._current
        number = None if current is None else current.revision.number
        counts = {} if self._counts is None else dict(self._counts())
        problem = self._refused if current is None or not current.scorer.problems else self._refused or "; ".join(
            f"score {name}: {reason}" for name, reason in current.scorer.problems.items()
        )  # fmt: skip
        self._control.beat(
            ProcessReport(self.name, self.role, now, self._started, number, problem, counts, IS_COMPILED)
        )
        self._beaten = now
