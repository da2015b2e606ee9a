"""One running API for the tests that don't break it."""

import shutil

import pytest

from tests.integration.api.running import SHOP, Running


@pytest.fixture(scope="session")
def api(tmp_path_factory):
    shop = tmp_path_factory.mktemp("rules") / "shop"
    shutil.copytree(SHOP, shop)
    # A placement that is the same for everybody: no rule nominates for it.
    with (shop / "vocabulary.yaml").open("a") as vocabulary:
        vocabulary.write("  footer: {slots: 1, fallback: standard_note}\n")
    with Running(tmp_path_factory.mktemp("api"), ruleset=shop) as running:
        yield running
