"""One suite per port, run over every implementation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.contracts.backends import LIBRARIES, REDIS, Stores, Streams, open_stores, open_streams

BACKENDS = ["sqlite", *(pytest.param(each, marks=pytest.mark.redis) for each in REDIS)]
URLS = dict(zip(REDIS, ("redis_url", "redis_cluster_url"), strict=True))
"""The fixtures that have the addresses."""

Opener = Callable[[str], Any]


def storage_of(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """Where the storage of the backend is that the parameter of a fixture names."""
    return request.param, request.getfixturevalue(URLS[request.param]) if request.param in URLS else str(tmp_path)


@pytest.fixture(params=BACKENDS)
def address(request, tmp_path) -> tuple[str, str]:
    """A backend and where its storage is."""
    return storage_of(request, tmp_path)


@pytest.fixture
def stores(address) -> Stores:
    return open_stores(*address)


@pytest.fixture
def opened(stores) -> Iterator[Opener]:
    """`opened("state")` opens that port once more; all are closed at the end."""
    with ExitStack() as stack:
        yield lambda port: stack.enter_context(closing(getattr(stores, port)()))


@pytest.fixture(params=["sqlite", *(pytest.param(each, marks=pytest.mark.kafka) for each in LIBRARIES)])
def stream_address(request, tmp_path) -> tuple[str, str]:
    """A backend of streams and where it is; topics of a Kafka are made."""
    if request.param == "sqlite":
        return "sqlite", str(tmp_path)
    address = f"{request.getfixturevalue('kafka_cluster').bootstrap}/{request.getfixturevalue('kafka_prefix')}"
    open_streams(request.param, address).topics().create()  # type: ignore[attr-defined]  # Kafka's alone
    return request.param, address


@pytest.fixture
def streams(stream_address) -> Streams:
    return open_streams(*stream_address)


@pytest.fixture
def opened_stream(streams) -> Iterator[Callable[..., Any]]:
    """`opened_stream("event_source", "group")` opens that port once more; all are closed at the end."""
    with ExitStack() as stack:
        yield lambda port, *arguments: stack.enter_context(closing(getattr(streams, port)(*arguments)))
