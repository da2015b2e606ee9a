"""From the settings to the services of one process, and back to nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from config.schema import Settings
from engine.facts import FactKind
from engine.ports import EventLog, PortError, Tables
from service.api.accepted import Accepted
from service.api.admission import Admission
from service.api.app import Application
from service.api.batcher import Batcher
from service.api.breaker import Breaker, Circuit
from service.api.evaluated import Evaluations
from service.api.forced_rules import ForcedRules
from service.api.late_log import LateEventLog
from service.api.metrics import Metrics
from service.api.recorder import Recorder
from service.api.room import Room
from service.api.rules import LiveRules
from service.api.services import Services
from service.api.stale import Lately
from service.clock import wall_ms
from service.installation import holdout_salt, preview_secret
from service.keys import KeyRing
from service.last_good import FOLDER
from service.ruleset_holder import RulesetHolder
from service.wiring import Wiring

log = logging.getLogger("salience.api.startup")

PATIENCE_S = 1.0
"""At a start, so long for tables that say nothing."""
WATCH_S = 1.0
WARM_UP_S = 1.0
SLOW_THREADS = 4
"""For calls that people make: why, profiles. Decisions never wait for them."""


def application(settings: Settings) -> Application:
    """The application of one process; it opens its ports when the server starts it."""

    async def opening() -> tuple[Services, Callable[[], Awaitable[None]]]:
        return await open_services(settings)

    if settings.api.grpc_port is None:
        return Application(opening)
    from service.rpc.server import RpcServer  # noqa: PLC0415  an extra

    return Application(opening, RpcServer)


async def open_services(settings: Settings, role: str = "api") -> tuple[Services, Callable[[], Awaitable[None]]]:
    """Open everything; returns the services, and what closes them in order.

    Args:
        settings: Of this process.
        role: As it reports itself; a publication waits for every `api`.
    """
    wiring = Wiring(settings)
    holder = RulesetHolder(
        wiring.tables(),
        role=role,
        registry=settings.models.registry,
        data_dir=settings.data_dir,
        signing=wiring.signing(),
        poll_ms=settings.bundle.poll_ms,
    )
    keys = KeyRing(wiring.tables(), settings.data_dir / FOLDER / "keys.json")
    events = LateEventLog(lambda: _event_log(wiring))
    # All at once, each for a moment at most: without any of them the first decision still comes.
    salt, secret, _, _, _ = await asyncio.gather(
        _salt(wiring.tables(), settings.data_dir / FOLDER / "holdout_salt"),
        _preview_secret(wiring.tables()),
        asyncio.to_thread(holder.start),
        asyncio.to_thread(keys.start),
        asyncio.to_thread(events.start),
    )
    if holder.current is None:
        reason = holder.problem or "nothing was published yet"
        log.warning("no rules are live (%s): decisions are empty until some are, see `salience publish`", reason)
    metrics = Metrics()
    state_breaker = Breaker("the state store", time.monotonic)
    limits_breaker = Breaker("the limit store", time.monotonic)
    model_breaker = Breaker("the models", time.monotonic)
    log_breaker = Breaker("the event log", time.monotonic)
    state = wiring.decision_state()
    recorder = Recorder(wiring.decisions(), wiring.activity(), metrics, wiring.decision_writer())
    recorder.start()
    batcher = Batcher(model_breaker)
    slow = ThreadPoolExecutor(SLOW_THREADS, thread_name_prefix="slow calls")
    services = Services(
        settings=settings.api,
        admission=Admission(settings.api, time.monotonic),
        clock=wall_ms,
        rules=LiveRules(holder),
        events=events,
        state=state,
        decisions=wiring.decisions(),
        profiles=wiring.profiles(),
        keys=keys,
        recorder=recorder,
        batcher=batcher,
        state_breaker=state_breaker,
        limits_breaker=limits_breaker,
        log_breaker=log_breaker,
        lately=Lately(),
        accepted=Accepted(),
        evaluations=Evaluations(),
        metrics=metrics,
        slow=slow,
        salt=salt,
        preview_secret=secret,
        forced_rules=ForcedRules(),
        score_ms=settings.models.deadline_ms,
        asks_crm=bool(settings.crm.url),
        profile_log=(lambda: _profile_log(wiring)) if wiring.has_kafka else None,
    )
    await _warm_up(services)
    admission = services.admission
    breakers = (state_breaker, limits_breaker, model_breaker, log_breaker)
    watching = (
        asyncio.create_task(_watch(metrics, breakers, admission.room)),
        asyncio.create_task(admission.room.watch(lambda: admission.answered)),
    )

    async def closing() -> None:
        for watch in watching:
            watch.cancel()
        await asyncio.to_thread(holder.stop)
        await asyncio.to_thread(keys.stop)
        await recorder.stop()
        await batcher.close()
        metrics.flush()
        await state.close()
        slow.shutdown()
        await asyncio.to_thread(events.close)
        await asyncio.to_thread(wiring.close)

    return services, closing


def _event_log(wiring: Wiring) -> EventLog:
    """The log, its topics made where they are missing; refused where its sessions would be looked for elsewhere."""
    wiring.ensure_topics()
    wiring.check_partitions()
    return wiring.event_log()


def _profile_log(wiring: Wiring) -> EventLog:
    log = wiring.fact_log(FactKind.PROFILES)
    assert log is not None
    return log


async def _warm_up(services: Services) -> None:
    """Open connections and files before the first shopper waits for them. A store that is gone is no reason to wait."""
    with contextlib.suppress(PortError, TimeoutError):
        async with asyncio.timeout(WARM_UP_S):
            await services.state.read("warm-up", None)


async def _drawn(draw: Callable[[Tables], bytes], tables: Tables) -> bytes | str:
    """What the installation drew once; a sentence where the tables don't tell it soon."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await asyncio.to_thread(draw, tables)
    except PortError as error:
        return str(error)
    except TimeoutError:
        return f"they have not answered for {PATIENCE_S:g} s"


async def _salt(tables: Tables, kept: Path) -> str | None:
    """The installation's holdout salt; a copy on disk serves while the tables are gone."""
    salt = await _drawn(lambda tables: holdout_salt(tables).encode(), tables)
    return _kept_salt(kept, salt) if isinstance(salt, str) else _keep_salt(kept, salt.decode())


def _kept_salt(kept: Path, why: str) -> str | None:
    try:
        return kept.read_text("ascii")
    except OSError:
        log.warning("nobody is held out until the next start: the control tables can't be reached (%s)", why)
        return None


def _keep_salt(kept: Path, salt: str) -> str:
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(salt, "ascii")
    except OSError as error:
        log.warning("%s can't be written: %s", kept, error.strerror)
    return salt


async def _preview_secret(tables: Tables) -> bytes | None:
    secret = await _drawn(preview_secret, tables)
    if isinstance(secret, str):
        log.warning("previews are refused until the next start: the control tables can't be reached (%s)", secret)
        return None
    return secret


async def _watch(metrics: Metrics, breakers: tuple[Breaker, ...], room: Room) -> None:
    """Show the circuits in the metrics, and tell the log when one opens or closes."""
    before = dict.fromkeys(breakers, Circuit.CLOSED)
    counted = dict.fromkeys(breakers, 0)
    shed = dict.fromkeys(breakers, 0)
    while True:
        metrics.flush()
        metrics.room.set(room.now)
        for breaker in breakers:
            circuit = breaker.circuit
            metrics.circuits.labels(breaker.name).set(circuit)
            metrics.opened.labels(breaker.name).inc(breaker.opened - counted[breaker])
            counted[breaker] = breaker.opened
            metrics.rejection.labels(breaker.name).set(breaker.rejection)
            metrics.shed.labels(breaker.name).inc(breaker.shed - shed[breaker])
            shed[breaker] = breaker.shed
            if (circuit is Circuit.CLOSED) is not (before[breaker] is Circuit.CLOSED):
                if circuit is Circuit.CLOSED:
                    log.info("%s answers again", breaker.name)
                else:
                    log.warning("%s does not answer: decisions go on without, and say so", breaker.name)
            before[breaker] = circuit
        await asyncio.sleep(WATCH_S)
