"""Ports by the settings: embedded without addresses, else the real ones; shared, and closed once."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.kafka_events import KafkaEventLog
from connectors.redis_tables import RedisTables
from connectors.sqlite_events import SqliteEventLog
from connectors.sqlite_tables import SqliteTables
from engine.ports import PortError
from service.installation import holdout_salt
from service.settings import Settings, load
from service.wiring import Wiring


def settings(folder: Path, *flags: str) -> Settings:
    return load(environ={}, flags=[f"data_dir={folder}", *flags], folder=folder).settings


def test_without_addresses_everything_is_embedded(tmp_path: Path) -> None:
    with Wiring(settings(tmp_path)) as wiring:
        assert (wiring.has_kafka, wiring.has_redis) == (False, False)
        assert isinstance(wiring.event_log(), SqliteEventLog)
        assert isinstance(wiring.tables(), SqliteTables)
        wiring.ensure_topics()
        wiring.check_partitions()


def test_addresses_choose_the_real_ones_without_connecting(tmp_path: Path) -> None:
    """A server that is down is noticed by the first call, so that a process can start on its last good bundle."""
    flags = ("kafka.bootstrap=127.0.0.1:1", "redis.url=redis://127.0.0.1:1/0")
    wiring = Wiring(settings(tmp_path, *flags))
    try:
        assert isinstance(wiring.event_log(), KafkaEventLog)
        assert isinstance(wiring.tables(), RedisTables)
        with pytest.raises(PortError):
            wiring.tables().version("publishing")
    finally:
        wiring.close()


def test_a_port_is_made_once_and_a_source_each_time(tmp_path: Path) -> None:
    with Wiring(settings(tmp_path)) as wiring:
        assert wiring.state() is wiring.state()
        assert wiring.event_source() is not wiring.event_source()


def test_a_log_with_another_number_of_partitions_is_refused(tmp_path: Path) -> None:
    with Wiring(settings(tmp_path, "kafka.partitions=4")) as wiring:
        wiring.event_log()
    with (
        Wiring(settings(tmp_path, "kafka.partitions=5")) as wiring,
        pytest.raises(PortError, match="has 4 partitions and the setting kafka.partitions says 5: set it to 4"),
    ):
        wiring.check_partitions()


def test_what_is_closed_can_not_be_used(tmp_path: Path) -> None:
    wiring = Wiring(settings(tmp_path))
    tables = wiring.tables()
    wiring.close()
    wiring.close()
    with pytest.raises(PortError):
        tables.version("x")


def test_an_installation_draws_its_salt_once(tmp_path: Path) -> None:
    with Wiring(settings(tmp_path)) as wiring:
        first = holdout_salt(wiring.tables())
        assert len(first) == 32
        assert holdout_salt(wiring.tables()) == first
