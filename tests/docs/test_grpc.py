"""The page of gRPC names every method, scope and status, and its Python does what it says."""

import re
from pathlib import Path
from typing import Any

import grpc

from service.rpc import decisions_pb2 as pb
from service.rpc.decisions_pb2_grpc import DecisionsStub
from service.rpc.methods import BULK, BULK_ENDPOINT, METHODS
from service.rpc.status import CODES
from tests.integration.api.running import Running

PAGE = (Path(__file__).parents[2] / "docs" / "grpc.md").read_text("utf-8")
HTTP_ONLY = {404, 405}
"""Refused over HTTP for a path or a method, which gRPC's core does itself."""


def test_every_method_stands_beside_its_endpoint_and_scope() -> None:
    endpoints = {name: method.endpoint for name, method in METHODS.items()} | {BULK: BULK_ENDPOINT}
    assert set(endpoints) == set(pb.DESCRIPTOR.services_by_name["Decisions"].methods_by_name)
    for name, endpoint in endpoints.items():
        assert f"| `{name}` | `{endpoint.method} {endpoint.path}` | `{endpoint.scope}`" in PAGE


def test_the_table_of_statuses_is_the_one_in_force() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([0-9][0-9, ]+)", PAGE, re.MULTILINE)
    shown = {int(status): name for name, statuses in rows for status in statuses.split(", ") if status.strip()}
    assert shown.items() <= {status: code.name for status, code in CODES.items()}.items()
    assert CODES.keys() - shown.keys() <= HTTP_ONLY


def test_the_python_of_the_page_does_what_it_says(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    with Running(tmp_path, {"api.grpc_port": 0}) as running:
        address = running.api.wait_for(r"gRPC on (\S+)")[1]
        code = code.replace('secure_channel("decide.shop.example:8083", grpc.ssl_channel_credentials())', "CHANNEL")
        code = code.replace("grpc.CHANNEL", "CHANNEL").replace("timeout=0.2", "timeout=20")  # a busy machine is no shop
        names = {"DecisionsStub": DecisionsStub, "DecideRequest": pb.DecideRequest, "KEY": running.server_key}
        with grpc.insecure_channel(address) as channel:
            found: dict[str, Any] = {}
            exec(compile(code, "grpc.md", "exec"), names | {"CHANNEL": channel}, found)
    assert found["made"].placements[0].placement == "cart_banner"
    assert found["made"].warnings == []
