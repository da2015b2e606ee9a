"""What every `FactStore`, `DecisionLog`, `Activity` and `Tables` promises."""

from __future__ import annotations

import pytest

from engine.facts import FactChange
from engine.ports import ConflictError, Row
from tests.contracts.racing import count_up, race

NOW = 1_700_000_000_000


def test_profiles_are_replaced_and_deleted(opened):
    profiles = opened("profiles")
    profiles.put({"a": b'{"tier":"gold"}', "b": b"{}"})
    profiles.put({"a": b'{"tier":"silver"}', "b": None, "never": None})
    assert opened("profiles").get(["a", "b", "c"]) == {"a": b'{"tier":"silver"}'}
    assert profiles.get([]) == {}
    profiles.put({})


def test_facts_of_customers_and_of_things_are_apart(opened):
    opened("profiles").put({"product_id/p1": b"{}"})
    opened("catalogue").put({"product_id/p1": b'{"product.stock":4}'})
    assert opened("profiles").get(["product_id/p1"]) == {"product_id/p1": b"{}"}
    assert opened("catalogue").get(["product_id/p1", "product_id/p2"]) == {"product_id/p1": b'{"product.stock":4}'}


def changes(*said: tuple[str, int, bytes | None]) -> list[FactChange]:
    return [FactChange(*each) for each in said]


@pytest.mark.parametrize("kind", ["profiles", "catalogue"])
def test_what_a_topic_says_is_followed_once_and_never_backwards(opened, kind):
    store = opened(kind)
    assert store.followed() == {}
    first = changes(("a", 0, b'{"n":0}'), ("b", 1, b'{"n":1}'), ("a", 2, b'{"n":2}'))
    store.follow(0, 0, first)
    store.follow(1, 0, changes(("c", 0, b"{}")))
    assert opened(kind).get(["a", "b", "c"]) == {"a": b'{"n":2}', "b": b'{"n":1}', "c": b"{}"}
    store.follow(0, 3, changes(("b", 7, None), ("a", 8, b'{"n":8}')))
    assert store.followed() == {0: 9, 1: 1}
    zombie = opened(kind)
    assert zombie.follow(0, 0, first) is None
    assert zombie.get(["a", "b"]) == {"a": b'{"n":8}'}, "who is deleted does not come back"
    assert store.followed() == {0: 9, 1: 1}
    store.follow(0, 9, [])
    store.put({"a": b'{"n":9}', "c": None})
    assert store.get(["a", "c"]) == {"a": b'{"n":9}'}


def test_who_was_forgotten_is_not_brought_back_by_another_system(opened):
    """Neither by what a topic or a CRM said before, nor by what they say after; by who puts facts, at once."""
    profiles = opened("profiles")
    profiles.follow(0, 0, changes(("anna", 0, b'{"n":0}'), ("ben", 1, b'{"n":1}')))
    profiles.put({"cleo": b'{"n":2}'})
    opened("profiles").forget(["anna", "cleo"])
    profiles.forget([])
    assert profiles.get(["anna", "ben", "cleo"]) == {"anna": b"{}", "ben": b'{"n":1}', "cleo": b"{}"}
    assert profiles.follow(0, 2, changes(("anna", 5, b'{"n":5}'), ("ben", 6, b'{"n":6}'), ("anna", 7, None))) == 1
    assert profiles.follow(1, 0, changes(("cleo", 0, b'{"n":5}'))) == 1
    assert set(profiles.learn({"anna": b'{"n":9}', "ben": b'{"n":9}', "new": b'{"n":9}'})) == {"anna"}
    assert not profiles.learn({})
    assert profiles.followed() == {0: 8, 1: 1}
    assert profiles.get(["anna", "ben", "cleo", "new"]) == {
        "anna": b"{}", "ben": b'{"n":9}', "cleo": b"{}", "new": b'{"n":9}'
    }  # fmt: skip
    profiles.put({"anna": b'{"n":10}'})
    assert profiles.follow(0, 8, changes(("anna", 9, b'{"n":11}'))) == 0
    assert opened("profiles").get(["anna"]) == {"anna": b'{"n":11}'}


def test_whom_a_topic_deleted_a_crm_does_not_bring_back_but_the_topic_does(opened):
    profiles = opened("profiles")
    profiles.follow(0, 0, changes(("anna", 0, b'{"n":0}'), ("anna", 1, None)))
    assert list(profiles.learn({"anna": b'{"n":9}'})) == ["anna"]
    assert profiles.get(["anna"]) == {}
    assert profiles.follow(0, 2, changes(("anna", 2, b'{"n":2}'))) == 0
    assert profiles.get(["anna"]) == {"anna": b'{"n":2}'}
    assert not profiles.learn({"anna": b'{"n":9}'})
    assert profiles.get(["anna"]) == {"anna": b'{"n":9}'}


def test_a_decision_is_found_by_its_id(opened):
    decisions = opened("decisions")
    decisions.append([("d1", "s1", NOW, b"one"), ("d2", "s1", NOW + 1, b"two")])
    assert opened("decisions").get("d1") == b"one"
    assert decisions.get("d3") is None


def test_decisions_come_newest_first(opened):
    decisions = opened("decisions")
    decisions.append([("d1", "s1", NOW, b"1"), ("d2", "s2", NOW + 5, b"2")])
    decisions.append([("d3", "s1", NOW + 3, b"3")])
    decisions.append([])
    assert list(decisions.of_session("s1", 10)) == [b"3", b"1"]
    assert list(decisions.of_session("s1", 1)) == [b"3"]
    assert list(decisions.of_session("s9", 1)) == []
    assert list(decisions.recent(2)) == [b"2", b"3"]


def test_an_entry_with_a_known_id_replaces_it(opened):
    decisions = opened("decisions")
    decisions.append([("d1", "s1", NOW, b"decided")])
    decisions.append([("d1", "s1", NOW, b"decided and seen")])
    assert decisions.get("d1") == b"decided and seen"
    assert list(decisions.of_session("s1", 10)) == [b"decided and seen"]
    assert list(decisions.recent(10)) == [b"decided and seen"]


def test_what_a_decision_was_made_of_is_kept_beside_it(opened):
    decisions = opened("decisions")
    decisions.append([("d1", "s1", NOW, b"decided")])
    decisions.keep_inputs([("d1", NOW, b"\x00state"), ("d2", NOW, b"")])
    decisions.keep_inputs([])
    assert opened("decisions").inputs("d1") == b"\x00state"
    assert decisions.inputs("d2") == b""
    assert decisions.inputs("d3") is None
    assert decisions.get("d2") is None, "it is no entry of the log"
    assert list(decisions.recent(10)) == [b"decided"]


def test_activity_adds_up_by_minute(opened):
    activity, other = opened("activity"), opened("activity")
    activity.add(100, {"fired/a": 2, "shown/a": 1})
    other.add(100, {"fired/a": 3})
    other.add(101, {"fired/a": 1})
    activity.add(101, {})
    assert activity.read(100) == {"fired/a": {100: 5, 101: 1}, "shown/a": {100: 1}}
    assert activity.read(101) == {"fired/a": {101: 1}}
    assert activity.read(102) == {}


def test_a_row_grows_by_one_version_with_each_write(opened):
    tables = opened("tables")
    assert tables.get("users", "ann") is None
    assert tables.put("users", "ann", b"1") == 1
    assert tables.put("users", "ann", b"2") == 2
    assert opened("tables").get("users", "ann") == Row(b"2", 2)
    assert tables.get("keys", "ann") is None


def test_a_writer_with_another_version_writes_nothing(opened):
    tables = opened("tables")
    assert tables.put("t", "k", b"1", expected=0) == 1
    with pytest.raises(ConflictError, match="t/k is at version 1, expected 0"):
        tables.put("t", "k", b"2", expected=0)
    with pytest.raises(ConflictError):
        tables.put("t", "k", None, expected=7)
    with pytest.raises(ConflictError):
        tables.put("t", "new", b"1", expected=1)
    assert tables.rows("t") == {"k": Row(b"1", 1)}
    assert tables.put("t", "k", b"2", expected=1) == 2


def test_a_deleted_row_is_gone_and_its_versions_go_on(opened):
    tables = opened("tables")
    tables.put("t", "k", b"1")
    assert tables.put("t", "k", None, expected=1) == 2
    assert tables.get("t", "k") is None
    assert tables.rows("t") == {}
    assert tables.put("t", "k", b"3", expected=0) == 3
    with pytest.raises(ConflictError):
        tables.put("t", "k", b"4", expected=1)


def test_rows_come_sorted_by_key_and_by_table(opened):
    tables = opened("tables")
    for key in ("b", "a", "ü", "c"):
        tables.put("t", key, key.encode())
    tables.put("u", "x", b"x")
    assert list(tables.rows("t")) == ["a", "b", "c", "ü"]
    assert tables.rows("nothing") == {}


def test_a_table_has_a_number_that_grows_with_every_write(opened):
    tables = opened("tables")
    assert tables.version("t") == 0
    numbers = [tables.version("t")]
    for value in (b"1", b"2", None, b"3"):
        tables.put("t", "k", value)
        numbers.append(opened("tables").version("t"))
    assert numbers == sorted(set(numbers))
    tables.put("other", "k", b"1")
    assert tables.version("t") == numbers[-1]


def test_compare_and_set_loses_no_update_among_processes(address, opened):
    race(count_up, *address, 30)
    assert opened("tables").get("t", "counter") == Row(b"90", 90)
