"""The backend of the admin UI over the embedded ports, the publisher and the holder of this process."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from admin_ui.backend import Progress, PublishState
from config.schema import Settings
from engine.activation import ScoreStatus
from engine.event import RawEvent
from engine.ports import SessionState, StateBatch, partition_of
from engine.vocabulary import admit
from service.admin import ServiceBackend
from service.admin_server import options
from service.ruleset_holder import RulesetHolder
from service.settings import load
from service.wiring import Wiring
from tests.unit.service.small_shop import sources, with_threshold


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(environ={"SALIENCE_DATA_DIR": str(tmp_path)}, folder=tmp_path).settings


@pytest.fixture
def wiring(settings: Settings) -> Iterator[Wiring]:
    with Wiring(settings) as wiring:
        yield wiring


@pytest.fixture
def backend(settings: Settings, wiring: Wiring) -> Iterator[ServiceBackend]:
    wiring.publisher().publish(sources(), "ci", "First")
    holder = RulesetHolder(
        wiring.tables(),
        role="admin",
        registry=settings.models.registry,
        data_dir=settings.data_dir,
        signing=wiring.signing(),
        poll_ms=20,
    )
    holder.start()
    yield ServiceBackend(wiring, holder)
    holder.stop()


def ended(backend: ServiceBackend, ticket: str) -> Progress:
    until = time.monotonic() + 30
    while True:
        progress = backend.progress(ticket)
        assert progress is not None
        if progress.state in {PublishState.LIVE, PublishState.REFUSED}:
            return progress
        assert time.monotonic() < until
        time.sleep(0.02)


def test_live_is_what_this_process_has_loaded(backend: ServiceBackend) -> None:
    live = backend.live()
    assert live is not None
    assert (live.revision.number, live.revision.note, live.sources) == (1, "First", sources())
    assert [rule.name for rule in live.program.rules] == ["third", "waits", "offer"]


def test_before_anything_was_published_nothing_is_live(settings: Settings, wiring: Wiring) -> None:
    holder = RulesetHolder(
        wiring.tables(), role="admin", registry=settings.data_dir, data_dir=settings.data_dir, signing=wiring.signing()
    )
    backend = ServiceBackend(wiring, holder)
    assert backend.live() is None
    assert backend.history() == []
    assert backend.scores()("intent", lambda _name: None).status is ScoreStatus.MISSING


def test_when_a_publication_is_said_to_be_live_the_next_screen_shows_it(backend: ServiceBackend) -> None:
    progress = ended(backend, backend.publish(with_threshold(5), "marta", "Five views"))
    assert (progress.state, progress.revision) == (PublishState.LIVE, 2)
    live = backend.live()
    assert live is not None
    assert (live.revision.number, live.revision.author) == (2, "marta")
    assert [revision.number for revision in backend.history()] == [2, 1]
    assert backend.sources(1) == sources()
    with pytest.raises(KeyError):
        backend.sources(99)


def test_a_refusal_comes_with_its_reasons_and_changes_nothing(backend: ServiceBackend) -> None:
    progress = ended(backend, backend.publish(sources(greeting="rules: ["), "marta", "Broken"))
    assert progress.state is PublishState.REFUSED
    assert "greeting.yaml:1" in progress.reasons[0]
    assert len(backend.history()) == 1


def test_a_rollback_is_a_new_revision_with_the_old_content(backend: ServiceBackend) -> None:
    ended(backend, backend.publish(with_threshold(5), "marta", "Five views"))
    progress = ended(backend, backend.rollback(1, "marta", "Too many"))
    assert (progress.state, progress.revision) == (PublishState.LIVE, 3)
    live = backend.live()
    assert live is not None
    assert (live.sources, live.revision.restores) == (sources(), 1)


def test_an_unknown_ticket_has_no_progress(backend: ServiceBackend) -> None:
    assert backend.progress("nothing") is None


def test_a_session_comes_with_its_customer_and_profile(backend: ServiceBackend, wiring: Wiring) -> None:
    live = backend.live()
    assert live is not None
    memory = live.network.open("s-1", "anna")
    raw = RawEvent("seen", "s-1", "e1", 1_000, "anna", {"product": "p1"})
    live.network.insert(memory, admit(live.program.vocabulary, raw, 1_000), backend.scores())
    state = SessionState(live.network.snapshot(memory), 1_000, None, "anna")
    partition = partition_of("s-1", wiring.event_log().partitions)
    wiring.state().claim(partition, 1)
    wiring.state().apply(StateBatch(partition, 1, 0, 1, {"s-1": state}, [], [], 1_000))
    wiring.profiles().put({"anna": msgspec.json.encode({"customer.tier": "gold"})})
    found = backend.session("s-1")
    assert found is not None
    assert (found.customer_id, found.clock, found.profile) == ("anna", 1_000, b'{"customer.tier":"gold"}')
    assert live.network.restore(found.snapshot).session_id == "s-1"
    assert [each.id for each in backend.recent_sessions(5)] == ["s-1"]
    assert backend.session("s-2") is None


def test_a_model_that_is_not_there_is_missing_not_an_error(backend: ServiceBackend) -> None:
    assert backend.scores()("intent", lambda _name: None).status is not ScoreStatus.OK


def test_the_secret_of_the_sessions_is_made_once_and_kept(settings: Settings) -> None:
    first, second = options(settings), options(settings)
    assert first.secret_key == second.secret_key
    assert first.shop_url == "http://127.0.0.1:8080/"


def test_a_proxy_is_trusted_only_where_https_needs_one(settings: Settings, tmp_path: Path) -> None:
    assert options(settings).proxies == 0
    behind = load(
        environ={"SALIENCE_DATA_DIR": str(tmp_path), "SALIENCE_ADMIN__SECURE_COOKIES": "true"}, folder=tmp_path
    )
    assert (options(behind.settings).proxies, options(behind.settings).is_https) == (1, True)


def test_the_process_that_forks_has_no_runtime_of_models() -> None:
    """Its threads would not be there after the fork, and the child would abort at its end."""
    asked = "import sys, service.admin_server, service.cli.admin; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
