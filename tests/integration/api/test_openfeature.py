"""OpenFeature's official Python SDK and OFREP provider, unchanged, against the running API."""

import pytest
from openfeature import api as openfeature
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import Reason

from tests.integration.api.running import BIG_CART, UNHURRIED, Running, shop_with

OWN = {"title": "the page's own"}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    rules = shop_with(tmp_path_factory.mktemp("rules"), BIG_CART)
    with Running(tmp_path_factory.mktemp("openfeature"), UNHURRIED, rules) as started:
        yield started


@pytest.fixture
def client_of(running):
    """Makes a client of OpenFeature whose provider calls the API with a key."""

    def client(key=None):
        headers = {"Authorization": f"Bearer {key or running.server_key}"}
        openfeature.set_provider(OFREPProvider(running.url, headers_factory=lambda: headers, timeout=30))
        return openfeature.get_client()

    yield client
    openfeature.clear_providers()


def test_a_placement_is_an_object_with_reason_variant_and_what_an_exposure_needs(running, client_of):
    session = EvaluationContext("python", {"context": {"page": "cart"}})
    found = client_of().get_object_details("cart_banner", OWN, session)
    assert (found.reason, found.variant, found.error_code) == (Reason.DEFAULT, "standard_banner", None)
    added = {"product_id": "p1", "category": "bags", "quantity": 10, "price": 150}
    with running.client() as client:
        event = {"type": "cart_added", "session_id": "python", "id": "python-1", "attributes": added}
        assert client.post("/v1/events", json=event).json()["accepted"] == 1
    found = client_of(running.page_key).get_object_details("cart_banner", OWN, session)
    assert (found.reason, found.variant) == (Reason.TARGETING_MATCH, "free_shipping")
    assert found.value["text"].startswith("Your cart of 1500.00 EUR travels free")
    assert found.flag_metadata["outcome"] == "offer"
    with running.client() as client:
        decision = client.get(f"/v1/decisions/{found.flag_metadata['decision_id']}").json()
    assert (decision["session_id"], decision["context"]) == ("python", {"context.page": "cart"})


@pytest.mark.parametrize(
    ("flag", "session", "code"),
    [
        ("no_such_placement", "s", ErrorCode.FLAG_NOT_FOUND),
        ("cart_banner", None, ErrorCode.TARGETING_KEY_MISSING),
        ("cart_banner", "s" * 201, ErrorCode.INVALID_CONTEXT),
    ],
)
def test_what_can_not_be_evaluated_gives_the_default_and_the_code_that_openfeature_knows(
    client_of, flag, session, code
):
    found = client_of().get_object_details(flag, OWN, EvaluationContext(session))
    assert (found.value, found.reason, found.error_code) == (OWN, Reason.ERROR, code)
    assert found.error_message


def test_content_asked_for_as_text_and_a_key_that_nobody_has_give_the_default(client_of):
    session = EvaluationContext("s")
    assert client_of().get_string_details("cart_banner", "own", session).error_code is ErrorCode.TYPE_MISMATCH
    refused = client_of("sal_secret_0_0").get_object_details("cart_banner", OWN, session)
    assert (refused.value, refused.error_code, refused.error_message) == (OWN, ErrorCode.GENERAL, "unauthorized")
