"""A reference CRM: what an adapter in front of a shop's own must answer, and everything that can go wrong with one."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import unquote


class CrmServer:
    """On a free port of the loopback; `with CrmServer() as crm`.

    Attributes:
        customers: Facts by customer id.
        fails: So many of the next requests are answered with `status`.
        delay_s: Before each answer.
        raw: Answered instead of facts, where it is set.
        asked: Customers in order of request, with the header Authorization.
    """

    def __init__(self) -> None:
        self.customers: dict[str, dict[str, object]] = {}
        self.fails = 0
        self.status = 503
        self.delay_s = 0.0
        self.raw: bytes | None = None
        self.asked: list[tuple[str, str | None]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v2/customers"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        crm = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                customer = unquote(self.path.removeprefix("/v2/customers/"))
                crm.asked.append((customer, self.headers.get("Authorization")))
                time.sleep(crm.delay_s)
                if crm.fails > 0:
                    crm.fails -= 1
                    self._answer(crm.status, b"{}")
                elif crm.raw is not None:
                    self._answer(200, crm.raw)
                elif customer in crm.customers:
                    self._answer(200, json.dumps(crm.customers[customer]).encode())
                else:
                    self._answer(404, b"who?")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                if 300 <= status < 400:
                    self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as the library has it
                pass

        return Handler
