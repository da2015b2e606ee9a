"""The OpenAPI document is held against the running service: every endpoint, its statuses, and the bodies."""

import itertools
import time

import jsonschema
import pytest
from openapi_spec_validator import validate

from service.api.problems import MEDIA_TYPE, PROBLEMS, TYPE_PREFIX
from service.api.routes import ENDPOINTS

VIEW = {"type": "page_viewed", "session_id": "o1", "attributes": {"page": "cart"}}
ADDED = {
    "type": "cart_added",
    "session_id": "o1",
    "attributes": {"product_id": "p1", "category": "bags", "quantity": 2, "price": 150},
}


@pytest.fixture(scope="module")
def document(api):
    with api.client() as client:
        return client.get("/openapi.json").json()


class Held:
    """Calls the service and holds each answer against the document."""

    def __init__(self, client, document):
        self.client = client
        self.document = document
        self.seen = set()

    def call(self, method, template, status, *, body=None, raw=None, headers=None, key=True, **parameters):
        query = parameters.pop("query", None)
        path = template.format(**parameters)
        sent = dict(headers or {})
        if not key:
            sent["Authorization"] = ""
        options = {"content": raw} if raw is not None else {"json": body} if body is not None else {}
        answer = self.client.request(method, path, params=query, headers=sent, **options)
        assert answer.status_code == status, answer.text
        operation = self.document["paths"][template][method.lower()]
        assert str(status) in operation["responses"], f"{method} {template} may answer {status} and does not say so"
        content = operation["responses"][str(status)].get("content", {})
        self.seen.add((method, template, status))
        if not content:
            assert answer.content == b""
            return answer
        media_type = answer.headers["content-type"].split(";")[0]
        assert media_type in content
        if media_type.endswith("json"):
            schema = {**content[media_type]["schema"], "components": self.document["components"]}
            jsonschema.Draft202012Validator(schema).validate(answer.json())
        return answer


def test_the_document_is_valid_openapi(document):
    validate(document)
    assert document["openapi"] == "3.1.0"


def test_every_endpoint_is_in_it_and_nothing_else(document):
    described = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert described == {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS}


def test_operation_ids_are_unique(document):
    names = [each["operationId"] for methods in document["paths"].values() for each in methods.values()]
    assert len(names) == len(set(names))


ELSEWHERE = {"not-found", "method-not-allowed", "malformed-message"}
"""Of no endpoint; the last is gRPC's."""


def test_every_problem_type_is_named_by_some_endpoint(document):
    text = str(document)
    assert [slug for slug in PROBLEMS if TYPE_PREFIX + slug not in text and slug not in ELSEWHERE] == []
    assert MEDIA_TYPE.decode() in text


def test_the_running_service_answers_as_the_document_says(api, document):
    with api.client() as client:
        held = Held(client, document)
        call = held.call

        call("POST", "/v1/events", 202, body=VIEW)
        call("POST", "/v1/events", 202, body={"events": [VIEW, ADDED, {"type": "nonsense", "session_id": "o1"}, 5]})
        call("POST", "/v1/events", 400, raw=b"{")
        call("POST", "/v1/events", 413, body={"events": [VIEW] * 501})
        call("POST", "/v1/events", 413, raw=b" " * 2_000_000)
        call("POST", "/v1/events", 415, raw=b"a", headers={"Content-Type": "text/csv"})
        call("POST", "/v1/events", 401, body=VIEW, key=False)

        asked = {"session_id": "o1", "placements": ["cart_banner", "home_hero", "nowhere"], "explain": True}
        riding = [ADDED | {"id": "r1"}, {"id": "r2", "type": "checkout_viewed", "session_id": "o1"}]
        made = call(
            "POST", "/v1/decide", 200, body=asked | {"events": riding, "context": {"context.page": "cart", "x": 1}}
        )
        call("POST", "/v1/decide", 400, body={"session_id": "o1"})
        call("POST", "/v1/decide", 401, body=asked, key=False)
        call("POST", "/v1/decide", 403, body=asked, headers={"Authorization": f"Bearer {api.page_key}"})
        call("POST", "/v1/decide", 415, raw=b"a", headers={"Content-Type": "text/csv"})
        call("POST", "/v1/decide", 413, body=asked | {"events": [VIEW] * 501})

        call("POST", "/v1/decide", 304, body=asked | {"explain": False}, headers={"If-None-Match": "*"})
        keyed = {"Idempotency-Key": "o1"}
        call("POST", "/v1/decide", 200, body=asked, headers=keyed)
        call("POST", "/v1/decide", 422, body=asked | {"explain": False}, headers=keyed)
        lines = {"Content-Type": "application/x-ndjson"}
        asked_in_bulk = b'{"session_id": "o1", "placements": ["cart_banner"]}'
        call("POST", "/v1/decide/bulk", 200, raw=asked_in_bulk, headers=lines)
        call("POST", "/v1/decide/bulk", 200, raw=b"5", headers=lines)
        call("POST", "/v1/decide/bulk", 413, raw=b"5\n" * 10_001, headers=lines)
        call("POST", "/v1/decide/bulk", 415, raw=asked_in_bulk, headers={"Content-Type": "text/csv"})
        tag = call("GET", "/v1/placements/{placement}", 200, placement="footer").headers["etag"]
        call("GET", "/v1/placements/{placement}", 304, placement="footer", headers={"If-None-Match": tag})
        call("GET", "/v1/placements/{placement}", 404, placement="cart_banner")

        context = {"context": {"targetingKey": "o1", "context.page": "cart"}}
        call("POST", "/ofrep/v1/evaluate/flags/{flag}", 200, body=context, flag="home_hero")
        call("POST", "/ofrep/v1/evaluate/flags/{flag}", 404, body=context, flag="nowhere")
        call("POST", "/ofrep/v1/evaluate/flags/{flag}", 400, body={"context": {}}, flag="home_hero")
        call("POST", "/ofrep/v1/evaluate/flags", 400, body={"context": {"targetingKey": 5}})
        tag = call("POST", "/ofrep/v1/evaluate/flags", 200, body=context).headers["etag"]
        call("POST", "/ofrep/v1/evaluate/flags", 304, body=context, headers={"If-None-Match": tag})

        tokens = {
            each["placement"]: [offer["token"] for offer in each["offers"] if "token" in offer]
            for each in made.json()["placements"]
        }
        decision = made.json()["decision_id"]
        exposed = {"decision_id": decision, "session_id": "o1", "placements": tokens}
        call("POST", "/v1/exposures", 200, body=exposed)
        call("POST", "/v1/exposures", 400, body={})

        call("GET", "/v1/decisions/{decision_id}", 200, decision_id=decision)
        call("GET", "/v1/decisions/{decision_id}", 404, decision_id="d_nothing")
        call("GET", "/v1/sessions/{session_id}/why", 200, session_id="o1", query={"context.page": "cart"})
        call("GET", "/v1/sessions/{session_id}/why", 404, session_id="o1", query={"rule": "nothing"})

        facts = {"facts": {"customer.tier": "gold", "customer": {"orders": 3}, "unknown": 1}}
        call("PUT", "/v1/customers/{customer_id}", 200, body=facts, customer_id="c1")
        call("PUT", "/v1/customers/{customer_id}", 400, body={"facts": {"customer.tier": 1}}, customer_id="c1")
        call("DELETE", "/v1/customers/{customer_id}", 204, customer_id="c1")

        call("GET", "/healthz", 200)
        call("GET", "/readyz", 200)
        call("GET", "/metrics", 200)
        for path in ("/openapi.json", "/salience.js"):
            tag = call("GET", path, 200).headers["etag"]
            call("GET", path, 304, headers={"If-None-Match": tag})

    good = {
        (method.upper(), path, int(status))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        for status in operation["responses"]
        if int(status) < 400
    }
    assert good <= held.seen, f"never called: {good - held.seen}"


def test_every_endpoint_with_a_key_refuses_who_has_none(api, document):
    with api.client() as client:
        held = Held(client, document)
        for endpoint in ENDPOINTS:
            if endpoint.scope is not None:
                names = {each.name: "x" for each in endpoint.parameters if each.where == "path"}
                body: dict[str, object] | None = {} if endpoint.request else None
                held.call(endpoint.method, endpoint.path, 401, body=body, key=False, **names)


def test_nothing_live_is_answered_as_documented(tmp_path, document):
    from tests.integration.api.running import Running

    with Running(tmp_path, ruleset=None) as running, running.client() as client:
        held = Held(client, document)
        held.call("POST", "/v1/decide", 200, body={"session_id": "o1", "placements": ["cart_banner"]})
        held.call("POST", "/v1/events", 503, body=VIEW)
        held.call("PUT", "/v1/customers/{customer_id}", 503, body={"facts": {}}, customer_id="c1")
        held.call("GET", "/readyz", 503)
        held.call("GET", "/healthz", 200)


def test_decisions_of_a_moment_ago_are_kept_in_every_way(api):
    with api.client() as client:
        made = client.post("/v1/decide", json={"session_id": "o2", "placements": ["cart_banner"]}).json()
        for wait in itertools.accumulate([0, 0.1, 0.2]):
            time.sleep(wait)
            assert client.get(f"/v1/decisions/{made['decision_id']}").json()["session_id"] == "o2"
