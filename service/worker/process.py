"""A worker's process: its ports, the ruleset that it holds, the folder that it watches, and the loop."""

from __future__ import annotations

import gc
import logging
from collections.abc import Mapping

from config.schema import Settings
from engine.facts import FactKind
from engine.ports import PortError
from service.control import Control
from service.crm import CrmFacts
from service.enrichment import Enrichment, Follower
from service.folder_watcher import FolderWatcher
from service.installation import holdout_salt
from service.past import Past
from service.ruleset_holder import RulesetHolder
from service.wiring import Wiring
from service.worker.loop import Pace, Ports, Worker
from service.worker.watchdog import Watchdog, end_process

logger = logging.getLogger("salience.service.worker")

COLLECT_AT = 20_000
"""So many more objects than were let go of, and Python searches the newest for cycles, of which evaluation makes none: a batch's events
alone are thousands. At its default of 700 the search takes an eighth of a worker's time."""


class WorkerProcess:
    """Everything of a worker, from settings to the end.

    Args:
        settings: Of the process.
        watch: Whether to publish the ruleset folder when it changes.

    Raises:
        PortError: A port can't be made, or the log has another number of partitions than the settings say.
    """

    def __init__(self, settings: Settings, *, watch: bool) -> None:
        self._wiring = wiring = Wiring(settings)
        try:
            wiring.ensure_topics()
            wiring.check_partitions()
            ports = Ports(
                source=wiring.event_source(),
                log=wiring.event_log(),
                state=wiring.state(),
                outputs=wiring.outputs(),
                limits=wiring.limits(),
                profiles=wiring.enriched_profiles(),
                catalogue=wiring.catalogue(),
                identities=wiring.identities(),
                activity=wiring.activity(),
            )
            self._profiles = ports.profiles
            salt = holdout_salt(wiring.tables())
        except PortError:
            wiring.close()
            raise
        sources = [(kind, wiring.fact_source(kind)) for kind in FactKind]
        followers = [Follower(kind, source, wiring.facts(kind)) for kind, source in sources if source is not None]
        self._enrichment = Enrichment(followers)
        pace = Pace(
            batch=settings.worker.batch_events,
            poll_ms=settings.worker.poll_ms,
            lateness=settings.worker.allowed_lateness_ms,
            idle_ms=settings.worker.idle_ms,
        )
        self.holder = RulesetHolder(
            wiring.tables(),
            role="worker",
            registry=settings.models.registry,
            data_dir=settings.data_dir,
            signing=wiring.signing(),
            poll_ms=settings.bundle.poll_ms,
            counts=self._counts,
        )
        self._watchdog = Watchdog(end_process)
        past = Past(
            Control(wiring.tables()), wiring.signing(), settings.models.registry, ports.profiles, ports.catalogue
        )
        self.worker = Worker(
            ports, lambda: self.holder.current, pace, salt=salt, past=past.equipment, watchdog=self._watchdog
        )
        self._watcher = (
            FolderWatcher(settings.bundle.folder, wiring.publisher(), poll_ms=settings.bundle.poll_ms)
            if watch
            else None
        )

    def run(self) -> None:
        """Work until `stop`; then everything is closed in order."""
        thresholds = gc.get_threshold()
        gc.set_threshold(COLLECT_AT, *thresholds[1:])
        try:
            self.holder.start()
            if self._watcher is not None:
                self._watcher.start()
            if self.holder.current is None:
                logger.info("waiting for the first revision: %s", self.holder.problem or "nothing was published yet")
            self._enrichment.start()
            self.worker.run()
        finally:
            self._enrichment.stop()
            if self._watcher is not None:
                self._watcher.stop()
            self.holder.stop()
            self._watchdog.stop()
            self._wiring.close()
            gc.set_threshold(*thresholds)
            logger.info("stopped")

    def stop(self) -> None:
        """Make `run` return after its batch. Safe to call from a signal's handler."""
        self.worker.stop()

    def _counts(self) -> Mapping[str, int]:
        crm = self._profiles.counts() if isinstance(self._profiles, CrmFacts) else {}
        return {**self.worker.report(), **self._enrichment.counts(), **crm}
