"""Events and facts from outside: typed against the vocabulary, or refused with the field named."""

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.event import RawEvent
from engine.language import check
from engine.language.tree import FactSource
from engine.values import Value
from engine.vocabulary import Admission, EventRefusedError, FactRefused, admit, read_facts

SOURCES = {
    "vocabulary.yaml": """\
currency: EUR
events:
  cart_added: {product_id: text, quantity: integer, price: money, amount: {money: quantity * price}}
  seen: {tier: {choice: [gold, silver]}, tags: list of text, share: number, wait: duration, at_time: timestamp, ok: boolean}
facts:
  customer.tier: {choice: [gold, silver], from: profile}
  customer.orders: {type: integer, from: profile}
  customer.average_order: {type: money, from: profile}
  context.page: {type: text, from: request}
"""
}


@pytest.fixture(scope="module")
def admission() -> Admission:
    checked = check(SOURCES)
    assert checked.program is not None
    return Admission(checked.program.vocabulary)


def attributes(admission: Admission, kind: str, **raw: object) -> Mapping[str, Value]:
    return admission.admit(RawEvent(type=kind, session_id="s1", id="e1", attributes=raw), 5).attributes


def refusal(admission: Admission, kind: str = "cart_added", **fields: object) -> tuple[str, str]:
    raw = {"type": kind, "session_id": "s1", "id": "e1", **fields}
    with pytest.raises(EventRefusedError) as refused:
        admission.admit(RawEvent(**raw), 5)  # type: ignore[arg-type] # a test of what may come
    assert refused.value.message
    return refused.value.code, refused.value.field


def test_an_event_is_typed_and_its_computed_attributes_are_added(admission: Admission) -> None:
    raw = RawEvent("cart_added", "s1", "e1", 1_000, "c1", {"product_id": "p1", "quantity": 2, "price": "35.79"})
    event = admission.admit(raw, 5)
    assert (event.id, event.type, event.session_id, event.time, event.customer_id) == (
        "e1",
        "cart_added",
        "s1",
        1_000,
        "c1",
    )
    assert event.attributes == {"product_id": "p1", "quantity": 2, "price": 3579, "amount": 7158}
    assert admit(admission.vocabulary, raw, 5) == event


def test_an_attribute_without_a_value_is_absent_and_so_is_what_is_computed_from_it(admission: Admission) -> None:
    assert attributes(admission, "cart_added", quantity=None, price=1) == {"price": 100}


def test_times(admission: Admission) -> None:
    def time(written: object) -> int:
        return admission.admit(RawEvent("seen", "s", "e", written), 5).time  # type: ignore[arg-type] # what may come

    assert time(None) == 5
    assert time(1_700_000_000_000) == 1_700_000_000_000
    assert time("2026-11-20T10:04:00Z") == time("2026-11-20T11:04:00.000+01:00") == 1_795_169_040_000
    for wrong in ("2026-11-20T10:04:00", "yesterday", -1, 2**60):
        assert refusal(admission, "seen", time=wrong)[1] == "time"


@pytest.mark.parametrize(
    ("raw", "amount"),
    [
        (35.79, 3579),
        ("35.79", 3579),
        (35, 3500),
        ("35.790", 3579),
        (0.1 + 0.2, 30),
        (-4.5, -450),
        ({"amount": "35.79", "currency": "EUR"}, 3579),
    ],
)
def test_money_in_each_form(admission: Admission, raw: object, amount: int) -> None:
    assert attributes(admission, "cart_added", price=raw) == {"price": amount}


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (35.795, "too-many-decimals"),
        ("35.795", "too-many-decimals"),
        ({"amount": "35.79", "currency": "USD"}, "other-currency"),
        ({"amount": {"amount": 1, "currency": "EUR"}, "currency": "EUR"}, "wrong-type"),
        ({"amount": "35.79"}, "wrong-type"),
        ("35,79", "wrong-type"),
        (True, "wrong-type"),
        ([], "wrong-type"),
        (float("nan"), "out-of-range"),
        (float("inf"), "out-of-range"),
        (1e300, "out-of-range"),
        (10**30, "out-of-range"),
        ("9" * 17, "wrong-type"),
    ],
)
def test_money_that_is_none(admission: Admission, raw: object, code: str) -> None:
    assert refusal(admission, attributes={"price": raw}) == (code, "attributes.price")


def test_every_other_type(admission: Admission) -> None:
    typed = attributes(
        admission,
        "seen",
        tier="gold",
        tags=["a", "b"],
        share=1,
        wait="5 minutes",
        at_time="2026-11-20T10:04:00Z",
        ok=False,
    )
    assert typed == {
        "tier": "gold",
        "tags": ("a", "b"),
        "share": 1.0,
        "wait": 300_000,
        "at_time": 1_795_169_040_000,
        "ok": False,
    }
    assert isinstance(typed["share"], float)
    assert attributes(admission, "cart_added", quantity=3.0) == {"quantity": 3}


@pytest.mark.parametrize(
    ("name", "raw", "code"),
    [
        ("tier", "bronze", "unknown-choice"),
        ("tier", 1, "wrong-type"),
        ("tags", "a", "wrong-type"),
        ("tags", [1], "wrong-type"),
        ("tags", ["a"] * 300, "too-long"),
        ("share", "1", "wrong-type"),
        ("share", True, "wrong-type"),
        ("share", float("nan"), "out-of-range"),
        ("wait", -1, "out-of-range"),
        ("wait", "5m", "wrong-type"),
        ("at_time", "2026-11-20", "wrong-type"),
        ("ok", 1, "wrong-type"),
        ("strange", 1, "unknown-attribute"),
    ],
)
def test_values_that_do_not_fit_name_their_field(admission: Admission, name: str, raw: object, code: str) -> None:
    assert refusal(admission, "seen", attributes={name: raw}) == (code, f"attributes.{name}")


@pytest.mark.parametrize("raw", [1, "x" * 5_000, "\ud83d", None, 2.5])
def test_text(admission: Admission, raw: object) -> None:
    if raw is None:
        assert attributes(admission, "cart_added", product_id=raw) == {}
    else:
        assert refusal(admission, attributes={"product_id": raw})[1] == "attributes.product_id"


def test_a_computed_attribute_is_not_taken_from_the_sender(admission: Admission) -> None:
    assert refusal(admission, attributes={"amount": 5}) == ("computed-attribute", "attributes.amount")


def test_ids_and_types(admission: Admission) -> None:
    assert refusal(admission, "paid") == ("unknown-event", "type")
    assert refusal(admission, id=None) == ("missing-id", "id")
    for wrong in ("", "x" * 201, "a\nb"):
        assert refusal(admission, id=wrong) == ("bad-id", "id")
        assert refusal(admission, session_id=wrong) == ("bad-id", "session_id")
        assert refusal(admission, customer_id=wrong) == ("bad-id", "customer_id")


JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=10), inner, max_size=4)),
    max_leaves=6,
)
NAMES = st.sampled_from(
    ["product_id", "quantity", "price", "amount", "tier", "tags", "share", "wait", "at_time", "ok", "x"]
)


@given(kind=st.sampled_from(["cart_added", "seen", "x"]), raw=st.dictionaries(NAMES, JSON, max_size=4))
def test_any_json_is_admitted_or_refused(admission: Admission, kind: str, raw: dict[str, object]) -> None:
    try:
        admission.admit(RawEvent(type=kind, session_id="s", id="e", attributes=raw), 0)
    except EventRefusedError as refused:
        assert refused.message  # noqa: PT017 - both ways are right, and this one says why


def test_facts_are_read_flat_or_nested_and_what_does_not_fit_is_left_out(admission: Admission) -> None:
    raw = {
        "customer.tier": "gold",
        "customer": {"orders": "three", "average_order": 35.79, "age": 40},
        "page": {"x": {}},
    }
    facts, refused = read_facts(admission.vocabulary, FactSource.PROFILE, raw)
    assert facts == {"customer.tier": "gold", "customer.average_order": 3579}
    assert [(each.code, each.field) for each in refused] == [
        ("wrong-type", "customer.orders"),
        ("unknown-fact", "customer.age"),
    ]
    assert all(isinstance(each, FactRefused) for each in refused)


def test_facts_of_another_source_are_not_read(admission: Admission) -> None:
    facts, refused = read_facts(
        admission.vocabulary, FactSource.REQUEST, {"context.page": "cart", "customer.tier": "gold"}
    )
    assert facts == {"context.page": "cart"}
    assert [each.field for each in refused] == ["customer.tier"]


@given(st.dictionaries(st.text(max_size=10), JSON, max_size=4))
def test_any_json_profile_is_read(admission: Admission, raw: dict[str, object]) -> None:
    facts, _ = read_facts(admission.vocabulary, FactSource.PROFILE, {"customer": raw, **raw})
    assert facts.keys() <= admission.vocabulary.facts.keys()
