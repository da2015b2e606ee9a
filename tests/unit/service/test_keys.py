"""Keys: shown once, hashed at rest, scoped, revoked within a second."""

import stat
import time

import msgspec
import pytest

from connectors.sqlite_tables import SqliteTables
from engine.ports import PortError
from service import keys
from service.keys import ApiKey, KeyKind, KeyRefusedError, KeyRing, Scope, create, listed, revoke


@pytest.fixture
def tables(tmp_path):
    made = SqliteTables(tmp_path / "tables.db")
    yield made
    made.close()


@pytest.fixture
def ring(tables, tmp_path):
    made = KeyRing(tables, tmp_path / "copy" / "keys.json")
    yield made
    made.stop()


def test_a_key_opens_what_it_was_made_for(tables, ring):
    stored, text = create(tables, "shop", KeyKind.SERVER, 1)
    ring.refresh()
    assert ring.find(text) == stored
    assert stored.scopes == frozenset(Scope)


def test_the_text_of_a_key_is_nowhere_at_rest(tables, ring, tmp_path):
    _, text = create(tables, "shop", KeyKind.SERVER, 1)
    ring.refresh()
    secret = text.rsplit("_", 1)[1].encode()
    for row in tables.rows(keys.TABLE).values():
        assert secret not in row.value
    copy = tmp_path / "copy" / "keys.json"
    assert secret not in copy.read_bytes()
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600


@pytest.mark.parametrize("change", ["x", "", "_", "é", "\ud800"])
def test_no_other_text_is_a_key(tables, ring, change):
    _, text = create(tables, "shop", KeyKind.SERVER, 1)
    ring.refresh()
    assert ring.find(text + change) is None or not change
    assert ring.find(change) is None
    assert ring.find(text[:-1] + change) is None


def test_a_server_key_does_not_pass_as_a_storefront_key(tables, ring):
    _, text = create(tables, "shop", KeyKind.SERVER, 1)
    ring.refresh()
    assert ring.find(text.replace("sal_secret_", "sal_public_")) is None


def test_a_revoked_key_is_refused_within_a_second(tables, ring):
    stored, text = create(tables, "shop", KeyKind.STOREFRONT, 1, origins=["https://shop.example"])
    ring.start()
    assert ring.find(text) is not None
    assert ring.origins == {"https://shop.example"}
    begun = time.monotonic()
    revoke(tables, stored.id, 5)
    while ring.find(text) is not None:
        assert time.monotonic() - begun < 1
        time.sleep(0.01)
    assert ring.origins == frozenset()
    assert [key.revoked for key in listed(tables)] == [5]


def test_revoking_again_changes_nothing(tables):
    stored, _ = create(tables, "shop", KeyKind.SERVER, 1)
    assert revoke(tables, stored.id, 5) == revoke(tables, stored.id, 6)


def test_an_unknown_key_can_not_be_revoked(tables):
    with pytest.raises(KeyRefusedError, match="there is no key nowhere"):
        revoke(tables, "nowhere", 5)


class GoneTables(SqliteTables):
    """Control tables that can't be reached."""

    def __init__(self):
        pass

    def version(self, table):
        raise PortError("no connection")


def test_keys_known_last_stay_valid_while_the_tables_are_gone(tables, ring):
    _, text = create(tables, "shop", KeyKind.SERVER, 1)
    ring.refresh()
    ring._tables = GoneTables()
    assert not ring.refresh()
    assert ring.problem == "no connection"
    assert ring.find(text) is not None


def test_a_start_without_the_tables_knows_the_keys_of_the_copy_on_disk(tables, ring, tmp_path):
    _, text = create(tables, "shop", KeyKind.SERVER, 1)
    ring.refresh()
    again = KeyRing(GoneTables(), tmp_path / "copy" / "keys.json")
    again.start()
    assert again.find(text) is not None
    again.stop()


@pytest.mark.parametrize(
    ("name", "kind", "options", "reason"),
    [
        ("", KeyKind.SERVER, {}, "needs a name"),
        ("x" * 101, KeyKind.SERVER, {}, "needs a name"),
        ("shop", KeyKind.SERVER, {"origins": ["https://shop.example"]}, "belong to storefront keys"),
        ("shop", KeyKind.STOREFRONT, {"origins": ["https://shop.example/path"]}, "is no origin"),
        ("shop", KeyKind.STOREFRONT, {"origins": ["shop.example"]}, "is no origin"),
        ("shop", KeyKind.STOREFRONT, {"scopes": [Scope.CUSTOMERS]}, "can't have the scope customers"),
    ],
)
def test_a_key_that_makes_no_sense_is_refused_with_its_reason(tables, name, kind, options, reason):
    with pytest.raises(KeyRefusedError, match=reason):
        create(tables, name, kind, 1, **options)
    assert listed(tables) == []


def test_rows_are_plain_json(tables):
    stored, _ = create(tables, "shop", KeyKind.STOREFRONT, 1)
    (row,) = tables.rows(keys.TABLE).values()
    assert msgspec.json.decode(row.value, type=ApiKey) == stored
