import re
from importlib.resources import files
from pathlib import Path

import msgspec
import pytest
from flask.testing import FlaskClient

from connectors.embedded import Embedded
from engine.language import check
from engine.language.tree import FactSource
from engine.vocabulary import Admission, read_facts
from models.shoppers import history
from service.keys import KeyKind, listed
from service.ruleset_folder import read_sources
from service.shop.app import PAGES, STATIC, Neighbours, create_app
from service.shop.catalogue import catalogue, people, products
from service.shop.prepare import PAGE_KEY, SHOPPERS_KEY, prepare_keys, read_key
from service.shop.traffic import PLACEMENTS

NOW = 1_760_000_000_000


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return create_app(Neighbours(8081, 8082, "sal_public_x_y")).test_client()


def vocabulary():
    program = check(read_sources(Path(str(files("rulesets").joinpath("shop"))))).program
    assert program
    return program.vocabulary


@pytest.mark.parametrize("path", PAGES)
def test_every_page_can_be_opened_by_its_address(client: FlaskClient, path: str) -> None:
    with client.get(re.sub("<.*?>", "shoes", path)) as answer:
        assert answer.status_code == 200
        assert b'<main id="page"' in answer.data


def test_the_page_may_load_its_own_assets_and_call_the_api_and_nothing_else(client: FlaskClient) -> None:
    with client.get("/") as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "connect-src 'self' http://localhost:8081;" in policy
    page = (Path(STATIC) / "index.html").read_text()
    for asset in re.findall(r'(?:src|href)="(/(?:static/)?[^"]+\.\w+)"', page):
        with client.get(asset) as answer:
            assert answer.status_code == 200, asset
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)


def test_the_page_finds_the_api_on_the_host_that_it_came_from(client: FlaskClient) -> None:
    answer = msgspec.json.decode(client.get("/config.json", headers={"Host": "192.0.2.7:8080"}).data)
    assert answer["endpoint"] == "http://192.0.2.7:8081"
    assert answer["admin"] == "http://192.0.2.7:8082"
    assert answer["key"] == "sal_public_x_y"


def test_what_the_shop_sends_is_in_the_vocabulary() -> None:
    """Products, customers and simulated shoppers fit the rules that ship."""
    words = vocabulary()
    admission = Admission(words)
    for _, events in history(2, 300, products(), NOW):
        for event in events:
            admission.admit(event, NOW)
    for profile in people(NOW).values():
        facts, refused = read_facts(words, FactSource.PROFILE, profile)
        assert not refused
        assert facts
    placements = {name for names in PLACEMENTS.values() for name in names}
    assert placements == set(words.placements)
    used = set(re.findall(r'slot\("(\w+)"\)', (Path(STATIC) / "shop.js").read_text()))
    assert used == set(words.placements)


def test_the_catalogue_has_a_picture_for_every_category() -> None:
    shapes = set(re.findall(r"^  (\w+): '", (Path(STATIC) / "pictures.js").read_text(), re.MULTILINE))
    assert {each["category"] for each in catalogue()} == shapes
    assert len({each["id"] for each in catalogue()}) == len(catalogue())


def test_keys_are_made_once_and_again_when_they_were_revoked_or_the_page_moved(tmp_path: Path) -> None:
    tables = Embedded(tmp_path).tables()
    try:
        prepare_keys(tables, tmp_path, ["http://127.0.0.1:8080"], NOW)
        page, shoppers = read_key(tmp_path, PAGE_KEY), read_key(tmp_path, SHOPPERS_KEY)
        assert (tmp_path / "secrets" / PAGE_KEY).stat().st_mode & 0o077 == 0
        prepare_keys(tables, tmp_path, ["http://127.0.0.1:8080"], NOW)
        assert (page, shoppers) == (read_key(tmp_path, PAGE_KEY), read_key(tmp_path, SHOPPERS_KEY))
        prepare_keys(tables, tmp_path, ["http://127.0.0.1:9090"], NOW)
        assert read_key(tmp_path, PAGE_KEY) != page
        assert read_key(tmp_path, SHOPPERS_KEY) == shoppers
        valid = [key.kind for key in listed(tables) if key.revoked is None]
        assert sorted(valid) == [KeyKind.SERVER, KeyKind.STOREFRONT]
        stored = b"".join(row.value for row in tables.rows("keys").values())
        assert shoppers.split("_")[-1].encode() not in stored
    finally:
        tables.close()


def test_the_catalogue_is_what_the_page_draws() -> None:
    fields = {"id", "name", "category", "price", "colour"}
    assert all(set(each) == fields and each["price"] > 0 for each in catalogue())
    assert msgspec.json.decode(msgspec.json.encode(catalogue())) == catalogue()
