"""The watched folder: what marketers save in an editor goes live by itself, through the one path of publishing."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from pathlib import Path

import msgspec

from engine.ports import ConflictError, PortError
from engine.values import Millis
from service.clock import Clock, wall_ms
from service.control import FolderReport
from service.publisher import PublishBusyError, Publisher, PublishRefusedError, content_hash
from service.ruleset_folder import RulesetFolderError, read_sources

logger = logging.getLogger("salience.service.folder_watcher")

AUTHOR = "folder"


class FolderWatcher:
    """Publishes a folder when its content changes.

    What was last tried, and what a rollback took out of service, is remembered in the control tables: a restart tries
    nothing again, and several watchers of one folder do no harm. A change is published when two looks in a row see the
    same content, so that half-written files are not taken.

    Args:
        folder: The ruleset folder.
        publisher: The one path.
        poll_ms: Time between two looks.
    """

    def __init__(self, folder: Path, publisher: Publisher, *, poll_ms: Millis = 200, clock: Clock = wall_ms) -> None:
        self._folder = folder
        self._publisher = publisher
        self._poll_ms = poll_ms
        self._clock = clock
        self._before: str | None = None
        self._signature: object = None
        self._done: tuple[object, int] | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Watch in the background."""
        self._thread = threading.Thread(target=self._run, name="folder watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the background thread; a publication on its way is finished first."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """One look: what the background thread does every `poll_ms`. Never raises."""
        try:
            self._look()
        except PortError as error:
            logger.info("the folder waits, the control tables can't be reached: %s", error)
        except Exception:
            logger.exception("looking at %s failed", self._folder)

    def _run(self) -> None:
        self.look()
        while not self._stop.wait(self._poll_ms / 1000):
            self.look()

    def _look(self) -> None:
        signature = _signature(self._folder)
        done = (signature, self._publisher.control.version())
        if done == self._done:
            return  # neither file nor tables changed since everything was in order
        try:
            sources = read_sources(self._folder)
        except RulesetFolderError as error:
            self._note(unreadable=str(error))
            self._before = None
            return
        content = content_hash(sources)
        stable = content == self._before
        self._before = content
        if not stable:
            return
        report, _ = self._publisher.control.folder()
        if content == report.held:
            self._note(problem="held back since a rollback, until a file changes")
        elif content == report.seen:
            self._note()
        else:
            self._try(sources, content)
            return
        self._done = (signature, self._publisher.control.version())

    def _try(self, sources: Mapping[str, str], content: str) -> None:
        try:
            published = self._publisher.publish(sources, AUTHOR, f"{self._folder.name} changed")
        except PublishBusyError as busy:
            logger.info("the folder waits: %s", busy)
            return
        except PublishRefusedError as refused:
            logger.warning("the folder %s is not published:\n%s", self._folder, "\n".join(refused.reasons))
            self._note(seen=content, problem="\n".join(refused.reasons))
            return
        if published.changed:
            logger.info("published the folder %s as revision %d", self._folder, published.revision.number)
        self._note(seen=content, problem="", released=True)

    def _note(
        self, *, problem: str | None = None, seen: str | None = None, released: bool = False, unreadable: str = ""
    ) -> None:
        """Write what became of the folder, unless it says so already; None leaves a field as it is."""
        report, version = self._publisher.control.folder()
        changed = FolderReport(
            path=str(self._folder),
            seen=report.seen if seen is None else seen,
            held=None if released else report.held,
            time=report.time,
            problem=report.problem if problem is None else problem,
            unreadable=unreadable,
        )
        if changed == report:
            return
        try:
            self._publisher.control.report_folder(msgspec.structs.replace(changed, time=self._clock()), version)
        except ConflictError:
            logger.debug("the folder's report was written by somebody else; the next look sees it")


def _signature(folder: Path) -> object:
    """What changes when a file does: cheap to look at five times a second."""
    try:
        found = [(path, path.stat()) for path in sorted(folder.rglob("*.yaml"))]
    except OSError as error:
        return str(error)
    return tuple((str(path), stat.st_mtime_ns, stat.st_size, stat.st_ino) for path, stat in found)
