"""Everything that is one installation over a Redis Cluster: worker, API, admin UI and commands."""

import re
import shutil

import httpx
import pytest

from admin_ui.accounts import Accounts, Role
from service.clock import wall_ms
from service.wiring import Wiring
from tests.integration.api.running import SHOP, UNHURRIED, Process, Running, is_known, wait_until

PASSWORD = "correct horse battery"
ONCE_A_DAY = """ruleset: once_a_day
owner: tests
rules:
  - rule: once_a_day
    when: {fact: cart.value, above: 1000}
    then: [{offer: free_shipping, placement: cart_banner}]
    limits: {total: 1 per day}
"""
ADDED = {"type": "cart_added", "attributes": {"product_id": "p1", "category": "bags", "quantity": 4, "price": 300}}


@pytest.fixture
def running(tmp_path, kafka_cluster, kafka_prefix, redis_cluster_url):
    rules = tmp_path / "rules" / "shop"
    shutil.copytree(SHOP, rules)
    (rules / "once_a_day.yaml").write_text(ONCE_A_DAY)
    settings = {
        **UNHURRIED,
        "kafka.bootstrap": kafka_cluster.bootstrap,
        "kafka.topic_prefix": kafka_prefix,
        "redis.url": redis_cluster_url,
    }
    with Running(tmp_path, settings, rules) as started:
        started.start_worker()
        yield started


def outcome(client, session):
    asked = {"session_id": session, "placements": ["cart_banner"]}
    answer = client.post("/v1/decide", json=asked).json()
    assert not {each["code"] for each in answer["degraded"]} - {"model_unavailable"}, answer
    (placement,) = answer["placements"]
    return answer["decision_id"], placement


@pytest.mark.kafka
@pytest.mark.redis
def test_sessions_limits_decisions_and_their_reasons_are_kept(running):
    sessions = [f"s{number}" for number in range(6)]  # of several partitions, and so of several masters
    with running.client() as client:
        events = [{**ADDED, "session_id": session, "id": session} for session in sessions]
        # Topics are made at the start, and until then events are refused, to be sent again.
        wait_until(lambda: client.post("/v1/events", json={"events": events}).status_code == 202)
        wait_until(lambda: all(is_known(client, session) for session in sessions))
        made = {session: outcome(client, session) for session in sessions}
        (winner,) = [session for session in sessions if made[session][1]["outcome"] == "offer"]
        decision, placement = made[winner]
        (offer,) = placement["offers"]
        assert offer["offer"] == "free_shipping"
        seen = {"decision_id": decision, "session_id": winner, "placements": {"cart_banner": [offer["token"]]}}
        assert client.post("/v1/exposures", json=seen).json()["confirmed"] == {offer["token"]: True}
        kept = wait_until(
            lambda: (found := client.get(f"/v1/decisions/{decision}")).status_code == 200 and found.json()
        )
        assert kept["session_id"] == winner


@pytest.mark.kafka
@pytest.mark.redis
def test_the_admin_ui_and_the_commands_say_what_is_live(running):
    with Wiring(running.settings) as wiring:
        Accounts(wiring.tables()).add("marta", Role.PUBLISHER, PASSWORD, wall_ms())
    admin = Process(running.folder, ["admin", "--port=0"], running.given).start()
    try:
        url = admin.wait_for(r"admin UI on (http://\S+)")[1]
        with httpx.Client(base_url=url, follow_redirects=True, timeout=30) as browser:
            (token,) = re.findall(r'csrf-token" content="([^"]+)"', browser.get("/sign-in").text)
            form = {"csrf_token": token, "name": "marta", "password": PASSWORD, "next": "/rules"}
            assert "once_a_day" in browser.post("/sign-in", data=form).text
            assert "worker" in browser.get("/now").text
    finally:
        assert admin.end() == 0
    without_model = 1
    for command, code, wanted in (("status", without_model, "live: revision 1"), ("lag", 0, "partition")):
        process = Process(running.folder, [command], running.given).start()
        assert process.wait() == code, process.output
        assert wanted in process.output
