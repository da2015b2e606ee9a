"""The application over a backend in memory, and visitors of each role."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from admin_ui.accounts import Accounts, Role
from admin_ui.application import create_app
from admin_ui.backend import Process
from admin_ui.options import Options
from tests.unit.admin_ui.memory_backend import NOON, MemoryBackend, shop_sources

PASSWORD = "correct horse battery"


@dataclass
class Visitor:
    """A browser without scripts: it keeps cookies and finds the token of forms."""

    client: FlaskClient

    def get(self, path: str, **headers: str) -> TestResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.get(path, headers=named, buffered=True)

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> TestResponse:
        token = {"csrf_token": self.token()}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.post(path, data={**token, **(form or {})}, headers=named)

    def send(self, path: str, body: Mapping[str, object]) -> TestResponse:
        """As the editor's script does."""
        return self.client.post(path, json=body, headers={"X-CSRFToken": self.token()})

    def token(self) -> str:
        found = re.search(r'csrf-token" content="([^"]+)"', self.client.get("/sign-in").text)
        assert found is not None
        return found[1]

    def sign_in(self, name: str, password: str = PASSWORD) -> TestResponse:
        return self.post("/sign-in", {"name": name, "password": password})


@pytest.fixture(scope="session")
def first_backend() -> MemoryBackend:
    """Compiled, and its passwords hashed, once; tests take copies of what changes."""
    first = MemoryBackend(shop_sources(), time=NOON - 3 * 3_600_000)
    accounts = Accounts(first.tables)
    for name, role in (("marta", Role.PUBLISHER), ("ed", Role.EDITOR), ("vic", Role.VIEWER)):
        accounts.add(name, role, PASSWORD, NOON)
    return first


@pytest.fixture
def backend(first_backend: MemoryBackend) -> MemoryBackend:
    """The example shop, live since three hours, with a user of each role."""
    fresh = first_backend.successor(NOON)
    fresh.running = [Process("api-1", "api", NOON, 1), Process("worker-1", "worker", NOON, 1)]
    return fresh


@pytest.fixture
def app(backend: MemoryBackend) -> Flask:
    return create_app(backend, Options("s" * 40))


@pytest.fixture
def stranger(app: Flask) -> Visitor:
    return Visitor(app.test_client())


@pytest.fixture
def publisher(app: Flask) -> Visitor:
    visitor = Visitor(app.test_client())
    visitor.sign_in("marta")
    return visitor


@pytest.fixture
def editor(app: Flask) -> Visitor:
    visitor = Visitor(app.test_client())
    visitor.sign_in("ed")
    return visitor


@pytest.fixture
def viewer(app: Flask) -> Visitor:
    visitor = Visitor(app.test_client())
    visitor.sign_in("vic")
    return visitor
