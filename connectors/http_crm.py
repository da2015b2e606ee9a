"""Customers' facts from a CRM behind HTTP: `GET <url>/<customer id>` answers a JSON object of facts, or 404.

What a slow or broken CRM can cost is bounded: all customers of a call are asked side by side within one deadline, what failed is
tried again once and only as long as the budget of retries lasts, and the caller's circuit keeps calls away for a while.
Redirects are not followed, and an answer has a largest size.
"""

from __future__ import annotations

import http.client
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from typing import Protocol
from urllib.parse import quote, urlsplit

import msgspec

from engine.ports import PortError
from engine.values import Millis

AT_ONCE = 8
"""Connections to the CRM of one process."""
LARGEST = 64 * 1024
"""Bytes of an answer: more than 100 facts."""

RETRIES_AT_FIRST = 10.0
RETRY_SHARE = 0.1
"""Of the calls in the long run: retries must not double the load of a CRM that is going down."""

_decode = msgspec.json.Decoder(dict[str, object]).decode


class Circuit(Protocol):
    """What keeps calls away from a CRM that fails; `service.api.breaker.Breaker` is one."""

    def allows(self) -> bool:
        """Whether a call may be made; its outcome is then told."""

    def succeeded(self) -> None:
        """It came back."""

    def failed(self) -> None:
        """It failed or was too late."""


class HttpCrm:
    """Asks a CRM. `fetch` is for one thread at a time.

    Args:
        url: Of the customers, without the last slash; from the settings, never from a request.
        token: Sent as `Authorization: Bearer`; empty: none.
        deadline_ms: For all customers of a call together.
        circuit: Told how each call ended.
    """

    def __init__(self, url: str, circuit: Circuit, *, token: str = "", deadline_ms: Millis = 100) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise PortError(f"the address of the CRM must be like https://crm.example/customers, not {url!r}")
        self._shown = f"{parts.hostname}:{parts.port or parts.scheme}"
        self._connect: Callable[..., http.client.HTTPConnection] = (
            http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        )
        self._host, self._port, self._path = parts.hostname, parts.port, parts.path.rstrip("/")
        self._headers = {"Accept": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
        self._deadline_s = deadline_ms / 1000
        self._circuit = circuit
        self._budget = RETRIES_AT_FIRST
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="crm")

    def fetch(self, customers: Sequence[str]) -> Mapping[str, bytes]:
        """What the CRM said in time, `{}` for customers that it does not know; who is left out has no answer.

        Raises:
            PortError: Nothing was asked, since the circuit is open, or nobody had an answer.
        """
        if not customers:
            return {}
        if not self._circuit.allows():
            raise PortError(f"the CRM at {self._shown} failed before and is not asked for a moment")
        until = time.monotonic() + self._deadline_s
        asked = {self._threads.submit(self._ask, customer, until): customer for customer in customers}
        done, late = wait_for(asked, self._deadline_s)
        for each in late:
            each.cancel()
        answers = {asked[each]: each.result() for each in done if _is_good(each)}
        if len(answers) == len(customers):
            self._circuit.succeeded()
            return answers
        self._circuit.failed()
        if not answers:
            why = next((str(each.exception()) for each in done if not each.cancelled()), "it did not answer in time")
            raise PortError(f"the CRM at {self._shown}: {why}")
        return answers

    def close(self) -> None:
        """Wait for what is on its way, which its deadline ends, and close the connections."""
        self._threads.shutdown(cancel_futures=True)
        while self._idle:
            self._idle.pop().close()

    def _ask(self, customer: str, until: float) -> bytes:
        with self._lock:
            self._budget = min(RETRIES_AT_FIRST, self._budget + RETRY_SHARE)
        try:
            return self._try(customer, until)
        except (OSError, http.client.HTTPException):
            if not self._may_retry() or time.monotonic() >= until:
                raise
            return self._try(customer, until)

    def _may_retry(self) -> bool:
        with self._lock:
            if self._budget < 1:
                return False
            self._budget -= 1
            return True

    def _try(self, customer: str, until: float) -> bytes:
        left = until - time.monotonic()
        if left <= 0:
            raise TimeoutError("it did not answer in time")
        connection = self._taken(left)
        try:
            connection.request("GET", f"{self._path}/{quote(customer, safe='')}", headers=self._headers)
            answer = connection.getresponse()
            body = answer.read(LARGEST + 1)
            facts = _facts(answer.status, body)
        except BaseException:
            connection.close()
            raise
        with self._lock:
            self._idle.append(connection)
        return facts

    def _taken(self, timeout_s: float) -> http.client.HTTPConnection:
        """A connection that nobody uses, or a new one."""
        with self._lock:
            kept = self._idle.pop() if self._idle else None
        if kept is None:
            return self._connect(self._host, self._port, timeout=timeout_s)
        if kept.sock is not None:
            kept.sock.settimeout(timeout_s)
        return kept


def _facts(status: int, body: bytes) -> bytes:
    """The JSON object of an answer; raises `HTTPException` for what is none."""
    if status == http.HTTPStatus.NOT_FOUND:
        return b"{}"
    if status != http.HTTPStatus.OK:
        raise http.client.HTTPException(f"it answers {status}")
    if len(body) > LARGEST:
        raise http.client.HTTPException(f"it answers with more than {LARGEST} bytes")
    try:
        _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise http.client.HTTPException(f"it answers with something else than a JSON object: {error}") from error
    return body


def _is_good(future: Future[bytes]) -> bool:
    return not future.cancelled() and future.exception() is None
