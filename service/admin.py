"""The admin UI wired to the rest: its backend over the ports and the publisher."""

from __future__ import annotations

import logging
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from wsgiref.types import WSGIApplication

import msgspec

from admin_ui.application import create_app
from admin_ui.backend import Live, Process, Progress, PublishState, SessionSummary, StoredSession
from admin_ui.options import Options
from config.schema import Settings
from engine.activation import ScoreAnswer, ScoreFunction, ScoreStatus
from engine.bundle import Revision
from engine.language import Checked, check
from engine.language.tree import Program, Vocabulary
from engine.ports import Activity, DecisionLog, PortError, Tables, partition_of
from engine.rete import Network
from engine.testing import TestResult, run_tests
from engine.values import EpochMs, Millis
from service.clock import Clock, wall_ms
from service.publisher import PublishBusyError, Published, Publisher, PublishRefusedError, Watcher
from service.ruleset_holder import RulesetHolder
from service.things import Lookup, Things
from service.wiring import Wiring

log = logging.getLogger("salience.admin")

KEPT_TICKETS = 50
SEEN_WITHIN_MS: Millis = 3_000
"""So long a publication that is live waits for this process to see it, so that the next screen shows it."""


class ServiceBackend:
    """`admin_ui.Backend` over the ports of this process. Safe to use from several threads, as the ports are."""

    def __init__(self, wiring: Wiring, holder: RulesetHolder, clock: Clock = wall_ms) -> None:
        self._wiring = wiring
        self._holder = holder
        self._clock = clock
        self._publisher: Publisher = wiring.publisher()
        self._lock = threading.Lock()
        self._progress: OrderedDict[str, Progress] = OrderedDict()
        self._partitions: int | None = None

    def now(self) -> EpochMs:
        """The wall clock."""
        return self._clock()

    @property
    def tables(self) -> Tables:
        """Control tables."""
        return self._wiring.tables()

    @property
    def activity(self) -> Activity:
        """Counters by minute."""
        return self._wiring.activity()

    @property
    def decisions(self) -> DecisionLog:
        """The decision log."""
        return self._wiring.decisions()

    # -------------------------------------------------------------- revisions

    def live(self) -> Live | None:
        """What this process has loaded: it may be 200 ms behind."""
        loaded = self._holder.current
        if loaded is None:
            return None
        return Live(loaded.revision, loaded.bundle.sources, loaded.program, loaded.network)

    def history(self) -> Sequence[Revision]:
        """Newest first."""
        return self._publisher.history()

    def sources(self, revision: int) -> Mapping[str, str]:
        """The files of a revision."""
        found = self._publisher.control.revision(revision)
        if found is None:
            raise KeyError(revision)
        return self._publisher.bundle(found.bundle).sources

    def processes(self) -> Sequence[Process]:
        """Heartbeats of the last hour."""
        reports = self._publisher.control.processes(self._clock())
        return [Process(each.name, each.role, each.seen, each.revision, each.problem) for each in reports]

    def check(self, sources: Mapping[str, str], previous: Checked | None = None) -> Checked:
        """The checker, as a publication runs it; what did not change since `previous` or the live rules is taken over."""
        loaded = self._holder.current
        return check(sources, previous if previous is not None or loaded is None else loaded.checked)

    def test(self, program: Program, network: Network) -> Sequence[TestResult]:
        """The tests beside the rules, as a publication runs them."""
        return run_tests(program, network)

    # -------------------------------------------------------------- publishing

    def publish(self, sources: Mapping[str, str], author: str, note: str) -> str:
        """Publish in a thread of its own."""
        return self._start(
            "Publishing", lambda watcher: self._publisher.publish(sources, author, note, watcher=watcher)
        )

    def rollback(self, to: int, author: str, reason: str) -> str:
        """Go back in a thread of its own."""
        return self._start(
            f"Going back to revision {to}",
            lambda watcher: self._publisher.rollback(reason, author, to, watcher=watcher),
        )

    def progress(self, ticket: str) -> Progress | None:
        """How far it is."""
        with self._lock:
            return self._progress.get(ticket)

    def _start(self, title: str, act: Callable[[Watcher], Published]) -> str:
        ticket = secrets.token_urlsafe(12)
        self._note(ticket, Progress(PublishState.CHECKING, title))
        thread = threading.Thread(target=self._carry_out, args=(ticket, title, act), name=title, daemon=True)
        thread.start()
        return ticket

    def _carry_out(self, ticket: str, title: str, act: Callable[[Watcher], Published]) -> None:
        def watch(loaded: tuple[str, ...], waiting: tuple[str, ...]) -> None:
            self._note(ticket, Progress(PublishState.WAITING, title, loaded, waiting))

        try:
            published = act(watch)
        except PublishRefusedError as refused:
            self._refuse(ticket, refused.reasons)
        except (PublishBusyError, PortError) as error:
            self._refuse(ticket, (str(error),))
        except Exception as error:
            # Whatever it is, the person who waits for it must hear of it.
            log.exception("a publication failed")
            self._refuse(ticket, (f"{type(error).__name__}: {error}",))
        else:
            self._await_own(published.revision.number)
            number = published.revision.number
            done = Progress(PublishState.LIVE, title, published.acknowledged, published.missing, revision=number)
            self._note(ticket, done)

    def _await_own(self, number: int) -> None:
        until = time.monotonic() + SEEN_WITHIN_MS / 1000
        while time.monotonic() < until:
            current = self._holder.current
            if current is not None and current.revision.number >= number:
                return
            time.sleep(0.02)

    def _refuse(self, ticket: str, reasons: tuple[str, ...]) -> None:
        with self._lock:
            before = self._progress[ticket]
        self._note(ticket, msgspec.structs.replace(before, state=PublishState.REFUSED, reasons=reasons))

    def _note(self, ticket: str, progress: Progress) -> None:
        with self._lock:
            self._progress[ticket] = progress
            while len(self._progress) > KEPT_TICKETS:
                self._progress.popitem(last=False)

    # -------------------------------------------------------------- sessions

    def recent_sessions(self, limit: int) -> Sequence[SessionSummary]:
        """Latest clock first."""
        recent = self._wiring.state().recent(limit)
        return [SessionSummary(session_id, state.customer_id, state.time) for session_id, state in recent]

    def session(self, session_id: str) -> StoredSession | None:
        """The session as stored, with its customer's profile."""
        found = self._wiring.state().load(partition_of(session_id, self._partition_count()), [session_id])
        state = found.get(session_id)
        if state is None or state.snapshot is None:
            return None
        customer = state.customer_id
        profile = None if customer is None else self.profile(customer)
        return StoredSession(session_id, customer, state.time, state.snapshot, profile)

    def profile(self, customer_id: str) -> bytes | None:
        """As the workers and the API find it: what a topic, a caller or the CRM said last."""
        return self._wiring.profiles().get([customer_id]).get(customer_id)

    def catalogue(self, vocabulary: Vocabulary) -> Lookup:
        """A look of its own for each page, so that it shows what is there now."""
        return Lookup(Things(vocabulary), self._clock(), self._wiring.catalogue().get)

    def scores(self) -> ScoreFunction:
        """The live models, in process."""
        loaded = self._holder.current
        if loaded is None:
            return lambda _name, _reader: ScoreAnswer(ScoreStatus.MISSING)
        return loaded.scorer.answer

    def _partition_count(self) -> int:
        if self._partitions is None:
            self._partitions = self._wiring.event_log().partitions
        return self._partitions


def application(settings: Settings, options: Options) -> tuple[WSGIApplication, list[Callable[[], None]]]:
    """The application of this process, following what is live; and what ends it, in order."""
    wiring = Wiring(settings)
    holder = RulesetHolder(
        wiring.tables(),
        role="admin",
        registry=settings.models.registry,
        data_dir=settings.data_dir,
        signing=wiring.signing(),
        poll_ms=settings.bundle.poll_ms,
    )
    holder.start()
    return create_app(ServiceBackend(wiring, holder), options), [holder.stop, wiring.close]
