"""One running API for the tests that don't break it."""

import pytest

from tests.integration.api.running import Running


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    with Running(tmp_path_factory.mktemp("api")) as running:
        yield running
