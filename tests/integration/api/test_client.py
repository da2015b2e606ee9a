"""The Python client against the running API: events that count once, decisions, exposures, and the API gone."""

import time

import pytest

from salience.decisions import Decisions
from salience.events import EventRefusedError, Producer
from salience.http import RefusedError
from tests.integration.api.running import Running

ADDED = {"product_id": "p1", "category": "bags", "quantity": 2, "price": 150}
FALLBACKS = {"cart_banner": [{"title": "Welcome"}]}


def test_events_are_in_the_next_decision_and_count_once(api):
    with Producer(api.url, api.server_key) as events:
        sent = [events.send("cart_added", "client-1", ADDED, id="client-1-a") for _ in range(3)]
        refused = events.send("cart_added", "client-1", {"product_id": 5})
        assert [each.result(30) for each in sent] == ["client-1-a"] * 3
        with pytest.raises(EventRefusedError) as why:
            refused.result(30)
    assert why.value.code
    with api.client() as client:
        rules = client.get("/v1/sessions/client-1/why").json()["rules"]
    assert "300.00 EUR" in str(rules)


def test_a_decision_is_typed_and_its_exposure_is_kept(api):
    decisions = Decisions(api.url, api.server_key, timeout_s=20)
    decision = decisions.decide("client-2", ["cart_banner", "nowhere"], context={"context.page": "cart"})
    assert decision.decision_id is not None
    assert decision.revision == 1
    assert decision.offers("cart_banner")[0].content["title"] == "Delivered in two to three days"
    assert decision.placements[1].error is not None
    assert decisions.expose(decision)
    again = decisions.decide("client-2", ["cart_banner"], customer_id=None)
    assert again.offers("cart_banner") == decision.offers("cart_banner")
    decisions.close()


def test_a_fault_of_the_callers_is_raised_and_one_of_the_service_is_not(api):
    unknown = Decisions(api.url, "sal_secret_0_0", timeout_s=20)
    with pytest.raises(RefusedError, match="does not exist"):
        unknown.decide("s", ["cart_banner"])
    unknown.close()
    gone = Decisions("http://127.0.0.1:9", api.server_key, fallbacks=FALLBACKS, timeout_s=0.2)
    decision = gone.decide("s", ["cart_banner", "cart_banner"])
    assert decision.decision_id is None
    assert [each.content for each in decision.offers("cart_banner")] == FALLBACKS["cart_banner"]
    assert decision.degraded[0].code == "service_unreachable"
    assert not gone.expose(decision)
    with pytest.raises(ValueError, match="is no address"):
        Decisions("decide.shop.example", "k")


def test_a_connection_that_the_service_closed_meanwhile_is_opened_anew(api):
    decisions = Decisions(api.url, api.server_key, timeout_s=20)
    assert decisions.decide("client-3", ["cart_banner"]).decision_id
    decisions._api._own.connection.sock.shutdown(2)
    assert decisions.decide("client-3", ["cart_banner"]).decision_id
    decisions.close()


@pytest.mark.kafka
@pytest.mark.redis
def test_a_producer_on_kafka_writes_what_the_worker_and_the_api_read(tmp_path, kafka_cluster, kafka_prefix, redis_url):
    settings = {"kafka.bootstrap": kafka_cluster.bootstrap, "kafka.topic_prefix": kafka_prefix, "redis.url": redis_url}
    with Running(tmp_path, settings) as running, running.client() as client:
        running.start_worker()
        kafka = running.settings.kafka
        with Producer.on_kafka(kafka.bootstrap, partitions=kafka.partitions, prefix=kafka_prefix) as events:
            sent = [events.send("cart_added", "on-kafka", ADDED, id="on-kafka-a") for _ in range(3)]
            assert [each.result(60) for each in sent] == ["on-kafka-a"] * 3
        until = time.monotonic() + 60
        while "300.00 EUR" not in client.get("/v1/sessions/on-kafka/why").text:
            assert time.monotonic() < until, "the worker never came to it"
            time.sleep(0.1)
