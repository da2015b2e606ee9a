"""`salience api` as a process: with a worker, with Redis killed, with several processes, and how it ends."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from service.clock import wall_ms
from service.keys import KeyKind, create, revoke
from service.ruleset_folder import read_sources
from service.wiring import Wiring
from tests.integration.api.running import ROOT, SHOP, Running, is_known, wait_until
from tools.redis_server import RedisServer

FULL_CART = (
    {
        "type": "cart_added",
        "attributes": {"product_id": "p1", "category": "bags", "quantity": 2, "price": 150},
    },
    {"type": "checkout_viewed", "attributes": {"step": "payment"}},
)


def send_full_cart(client, session):
    events = [event | {"session_id": session, "id": f"{session}-{n}"} for n, event in enumerate(FULL_CART)]
    answer = client.post("/v1/events", json={"events": events})
    assert answer.status_code == 202
    assert answer.json()["accepted"] == 2, answer.text


def cart_value(client, session):
    """The cart's value as the decision sees it, from the reports of the rules."""
    body = {"session_id": session, "placements": ["cart_banner"], "explain": True}
    answer = client.post("/v1/decide", json=body)
    assert answer.status_code == 200, answer.text
    found = []

    def look(report):
        if report.get("subject") == "cart.value" and report.get("actual"):
            found.append(report["actual"])
        for part in report.get("parts", ()):
            look(part)

    for rule in answer.json().get("rules", ()):
        look(rule["condition"])
    return found[0] if found else None


def test_an_event_is_in_the_next_decision_before_and_after_the_stream_comes_to_it_and_counts_once(tmp_path):
    with Running(tmp_path) as running, running.client() as client:
        send_full_cart(client, "s1")
        assert cart_value(client, "s1") == "300.00 EUR"
        assert not is_known(client, "s1")
        running.start_worker()
        wait_until(lambda: is_known(client, "s1"))
        assert cart_value(client, "s1") == "300.00 EUR"
        assert len(client.get("/v1/sessions/s1/why").json()["rules"]) > 10


def test_a_revoked_key_is_refused_within_a_second_and_a_new_one_is_taken(api):
    with Wiring(api.settings) as wiring:
        stored, text = create(wiring.tables(), "short", KeyKind.SERVER, wall_ms())
        body = {"session_id": "s1", "placements": ["cart_banner"]}
        with api.client(text) as client:
            wait_until(lambda: client.post("/v1/decide", json=body).status_code == 200)
            revoke(wiring.tables(), stored.id, wall_ms())
            wait_until(lambda: client.post("/v1/decide", json=body).status_code == 401)


@pytest.mark.kafka
@pytest.mark.redis
def test_an_event_goes_through_kafka_and_redis_into_the_next_decision(tmp_path, kafka_cluster, kafka_prefix, redis_url):
    settings = {"kafka.bootstrap": kafka_cluster.bootstrap, "kafka.topic_prefix": kafka_prefix, "redis.url": redis_url}
    with Running(tmp_path, settings) as running, running.client() as client:
        running.start_worker()
        send_full_cart(client, "s1")
        assert cart_value(client, "s1") == "300.00 EUR"
        wait_until(lambda: is_known(client, "s1"))
        assert cart_value(client, "s1") == "300.00 EUR"


# ---------------------------------------------------------------- Redis


@pytest.mark.redis
def test_killed_redis_means_fallbacks_with_200_in_time_and_recovery(tmp_path, redis_required):
    with RedisServer(tmp_path / "redis", settings={"appendonly": "yes"}) as redis:
        settings = {"redis.url": redis.url}
        with Running(tmp_path, settings) as running, running.client() as client:
            running.start_worker()
            send_full_cart(client, "s1")
            wait_until(lambda: is_known(client, "s1"))
            assert cart_value(client, "s1") == "300.00 EUR"

            redis.kill()
            body = {"session_id": "s1", "placements": ["cart_banner", "home_hero"]}
            assert client.post("/v1/decide", json=body).json()["degraded"][0]["code"] == "state_stale"
            for _ in range(30):
                answer = client.post("/v1/decide", json=body | {"session_id": "never seen here"})
                assert answer.status_code == 200
                made = answer.json()
                assert [each["outcome"] for each in made["placements"]] == ["degraded", "degraded"]
                assert [each["offers"][0]["offer"] for each in made["placements"]] == [
                    "standard_banner",
                    "standard_hero",
                ]
                assert made["degraded"][0]["code"] == "state_unavailable"
                total = answer.headers["server-timing"].split("total;dur=")[1]
                assert float(total) <= 1000 + running.settings.api.deadline_ms  # the rest is what a busy machine adds
            assert client.get("/readyz").status_code == 200

            redis.start()
            wait_until(lambda: not codes(client.post("/v1/decide", json=body)) - {"model_unavailable"})
            assert cart_value(client, "s1") == "300.00 EUR"


def codes(answer):
    return {each["code"] for each in answer.json()["degraded"]}


@pytest.mark.redis
def test_a_start_without_redis_serves_the_last_good_bundle_to_known_keys(tmp_path, redis_required):
    with RedisServer(tmp_path / "redis", settings={"appendonly": "yes"}) as redis:
        running = Running(tmp_path, {"redis.url": redis.url})
        with running, running.client() as client:
            assert client.get("/readyz").json()["revision"] == 1
        redis.kill()
        with running, running.client() as client:
            answer = client.post("/v1/decide", json={"session_id": "s1", "placements": ["cart_banner"]})
            assert answer.status_code == 200
            assert answer.json()["revision"] == 1
            assert answer.json()["placements"][0]["offers"][0]["offer"] == "standard_banner"
            assert client.get("/readyz").json()["status"] == "degraded"


# ---------------------------------------------------------------- several processes, reload, end


def test_several_processes_share_port_metrics_and_decisions(tmp_path):
    with Running(tmp_path, {"api.workers": 2}) as running:
        body = {"session_id": "s1", "placements": ["cart_banner"]}
        for _ in range(40):  # a connection each, so that both get some
            with running.client() as client:
                made = client.post("/v1/decide", json=body).json()
        with running.client() as client:
            wait_until(lambda: client.get(f"/v1/decisions/{made['decision_id']}").status_code == 200)
            # What the other process counted is there within a second.
            counted = 'salience_api_requests_total{endpoint="decide",status="200"} 40.0'
            wait_until(lambda: counted in client.get("/metrics").text)

        children = Path(f"/proc/{running.api.pid}/task/{running.api.pid}/children")
        before = children.read_text().split()
        os.kill(int(before[0]), signal.SIGKILL)
        for _ in range(20):
            with running.client() as client:
                assert client.post("/v1/decide", json=body).status_code == 200
        wait_until(lambda: len(set(children.read_text().split()) - {before[0]}) == 2)


def await_revision(answers, number):
    end = time.monotonic() + 30
    while not answers or answers[-1].json()["revision"] != number:
        assert time.monotonic() < end, f"no answer of revision {number} came"
        time.sleep(0.02)


def test_a_publication_under_load_costs_no_request_and_mixes_no_revisions(tmp_path):
    sources = read_sources(SHOP)
    with Running(tmp_path) as running, Wiring(running.settings) as wiring:
        answers = []
        stop = threading.Event()

        def load():
            body = {"session_id": "s1", "placements": ["cart_banner"]}
            with running.client() as client:
                while not stop.is_set():
                    answers.append(client.post("/v1/decide", json=body))

        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        bundles = {}
        try:
            for number in range(2, 6):
                offers = sources["offers.yaml"].replace("two to three days", f"{number} days")
                published = wiring.publisher().publish({**sources, "offers.yaml": offers}, "test", "")
                bundles[published.revision.number] = published.revision.bundle
                assert published.revision.number == number
                time.sleep(0.3)
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert {answer.status_code for answer in answers} == {200}
        made = [answer.json() for answer in answers]
        assert all(each["bundle"] == bundles.get(each["revision"], each["bundle"]) for each in made)
        assert {each["revision"] for each in made} >= {2, 3, 4, 5}
        for each in made:
            title = each["placements"][0]["offers"][0]["content"]["title"]
            days = "two to three" if each["revision"] == 1 else each["revision"]
            assert title == f"Delivered in {days} days"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_in_order_with_everything_kept_that_it_took(tmp_path, number):
    with Running(tmp_path) as running:
        with running.client() as client:
            send_full_cart(client, "s1")
            made = [
                client.post("/v1/decide", json={"session_id": "s1", "placements": ["cart_banner"]}).json()
                for _ in range(20)
            ]
        assert running.api.end(number) == 0
        with Wiring(running.settings) as wiring:
            for each in made:
                assert wiring.decisions().get(each["decision_id"]) is not None
            assert sum(wiring.event_source("test").ends().values()) == 2


def test_a_port_in_use_is_one_clear_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "service.cli", f"--set=data_dir={tmp_path}", "api", f"--port={port}"]
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == (
        f"salience: 127.0.0.1:{port} can't be listened on: another program listens there; end it, or choose another "
        "with --port or the setting api.port\n"
    )


def test_a_client_that_sends_half_a_request_does_not_hold_the_others(api):
    with socket.create_connection(("127.0.0.1", int(api.url.rsplit(":", 1)[1]))) as slow:
        slow.sendall(b"POST /v1/decide HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{")
        assert httpx.get(f"{api.url}/healthz").status_code == 200


def test_a_bulk_request_over_a_socket_is_answered_only_as_fast_as_it_is_read(tmp_path):
    """What a caller leaves unread stays in the socket's buffers and then undecided, not in our memory."""
    lines = 1_500
    asked = b'{"session_id": "b%d", "placements": ["cart_banner", "home_hero", "product_strip"], "explain": true}'
    body = b"\n".join(asked % number for number in range(lines))  # explained, an answer has some 10 KB
    with Running(tmp_path) as running, running.client() as client:
        head = (
            f"POST /v1/decide/bulk HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {running.server_key}\r\n"
            f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        with socket.socket() as caller:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16_384)
            caller.connect(("127.0.0.1", int(running.url.rsplit(":", 1)[1])))
            caller.sendall(head.encode() + body)
            decided = stopped_growing(lambda: bulk_lines(client))
            assert 0 < decided < lines
            assert client.post("/v1/decide", json={"session_id": "s", "placements": ["cart_banner"]}).status_code == 200
            answer = b"".join(iter(lambda: caller.recv(1 << 16), b""))
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.count(b'"decision_id"') == lines
        assert bulk_lines(client) == lines


def bulk_lines(client):
    found = [
        each for each in client.get("/metrics").text.splitlines() if each.startswith("salience_api_bulk_lines_total")
    ]
    return int(float(found[0].rpartition(" ")[2])) if found else 0


def stopped_growing(read, seconds=30.0):
    """What it reads once it has been the same for half a second."""
    until = time.monotonic() + seconds
    last, since = read(), time.monotonic()
    while time.monotonic() < until:
        time.sleep(0.05)
        now = read()
        if now != last:
            last, since = now, time.monotonic()
        elif now and time.monotonic() - since > 0.5:
            return now
    raise AssertionError("it did not come to rest")
