"""gRPC as a process: over TLS, with several processes, asked by reflection, and how it ends."""

import os
import re
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from service.rpc import decisions_pb2 as pb
from service.rpc.decisions_pb2_grpc import DecisionsStub
from service.settings import SettingsError, load
from tests.integration.api.running import Process, Running, wait_until

PATIENCE_S = 30.0
ASKED = pb.DecideRequest(session_id="s1", placements=["cart_banner"])


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with Running(tmp_path_factory.mktemp("grpc"), {"api.grpc_port": 0, "api.workers": 2}) as started:
        yield started


def address(running):
    return running.api.wait_for(r"gRPC on (\S+)")[1]


def metadata(running):
    return (("authorization", f"Bearer {running.server_key}"),)


def test_both_protocols_of_each_process_decide_and_count_together(running):
    for _ in range(30):  # a connection each, so that both processes get some
        with grpc.insecure_channel(address(running), options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            made = DecisionsStub(channel).Decide(ASKED, metadata=metadata(running), timeout=PATIENCE_S)
            assert (made.revision, made.placements[0].placement) == (1, "cart_banner")
    with running.client() as client:
        body = {"session_id": "s1", "placements": ["cart_banner"]}
        assert client.post("/v1/decide", json=body).json()["bundle"] == made.bundle
        counted = 'salience_api_requests_total{endpoint="grpc/decide",status="OK"} 30.0'
        wait_until(lambda: counted in client.get("/metrics").text)  # of the other process within a second


def test_a_client_without_the_proto_finds_all_by_reflection(running):
    with grpc.insecure_channel(address(running)) as channel:
        known = ProtoReflectionDescriptorDatabase(channel)
        assert "salience.v1.Decisions" in known.get_services()
        method = DescriptorPool(known).FindServiceByName("salience.v1.Decisions").FindMethodByName("Decide")
        request, answer = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        call = channel.unary_unary(
            "/salience.v1.Decisions/Decide",
            request_serializer=request.SerializeToString,
            response_deserializer=answer.FromString,
        )
        asked = json_format.ParseDict({"sessionId": "s2", "placements": ["cart_banner", "home_hero"]}, request())
        made = json_format.MessageToDict(call(asked, metadata=metadata(running), timeout=PATIENCE_S))
        assert [each["placement"] for each in made["placements"]] == ["cart_banner", "home_hero"]


def test_health_is_asked_without_a_key(running):
    with grpc.insecure_channel(address(running)) as channel:
        asked = health_pb2.HealthCheckRequest(service="salience.v1.Decisions")
        stub: Any = health_pb2_grpc.HealthStub(channel)  # whose methods the stubs leave out
        answer = stub.Check(asked, timeout=PATIENCE_S)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_killed_process_costs_no_client_more_than_its_connection(running):
    children = Path(f"/proc/{running.api.pid}/task/{running.api.pid}/children")
    os.kill(int(children.read_text().split()[0]), signal.SIGKILL)
    for _ in range(20):
        with grpc.insecure_channel(address(running), options=(("grpc.use_local_subchannel_pool", 1),)) as channel:
            stub = DecisionsStub(channel)
            assert stub.Decide(ASKED, metadata=metadata(running), timeout=PATIENCE_S, wait_for_ready=True).revision == 1


def test_over_tls_and_ended_in_order(tmp_path, certificate):
    files = {"api.tls_certificate": certificate / "certificate.pem", "api.tls_key": certificate / "key.pem"}
    running = Running(tmp_path, {"api.grpc_port": 0, **files})
    running.api.start()
    try:
        url = running.api.wait_for(r"decision API on (https://\S+)")[1]
        httpx.get(f"{url}/healthz", verify=False, timeout=60)  # it answers once the application has started
        trusted = grpc.ssl_channel_credentials((certificate / "certificate.pem").read_bytes())
        with grpc.secure_channel(address(running), trusted) as channel:
            stub = DecisionsStub(channel)
            for _ in range(5):
                answered = stub.Decide(ASKED, metadata=metadata(running), timeout=PATIENCE_S, wait_for_ready=True)
            assert answered.revision == 1
            begun, codes = threading.Event(), []

            def ask_on() -> None:
                while True:
                    try:
                        stub.Decide(ASKED, metadata=metadata(running), timeout=PATIENCE_S)
                        begun.set()
                    except grpc.RpcError as error:
                        codes.append(error.code())
                        return

            asking = threading.Thread(target=ask_on)
            asking.start()
            assert begun.wait(PATIENCE_S)
            assert running.api.end() == 0
            asking.join(PATIENCE_S)
            # gRPC's core cancels what came while it left and was not begun (grpc/grpc#41785).
            assert codes in ([grpc.StatusCode.UNAVAILABLE], [grpc.StatusCode.CANCELLED])
    finally:
        running.api.end()
    assert "Traceback" not in running.api.output
    assert re.search("error", running.api.output, re.IGNORECASE) is None, running.api.output


def test_a_port_that_is_taken_is_one_sentence(tmp_path, running):
    port = address(running).rpartition(":")[2]
    api = Process(tmp_path, ["api", "--port=0", f"--grpc-port={port}"], {}).start()
    assert api._child is not None
    assert api._child.wait(60) == 1
    assert api.output == (
        f"salience: 127.0.0.1:{port} can't be listened on: another program listens there; end it, or choose another with "
        "the setting api.grpc_port\n"
    )


def test_without_the_extra_the_setting_is_refused_with_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "grpc", None)  # as where it is not installed
    load(flags=["api.port=0"], environ={}, folder=tmp_path)
    with pytest.raises(SettingsError, match=r"api\.grpc_port can't be 9000: install the extra, salience\[grpc\]"):
        load(flags=["api.grpc_port=9000"], environ={}, folder=tmp_path)
