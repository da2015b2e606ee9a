"""Calls of the decision API: a connection kept open by each thread, a key, a time within which an answer is worth something."""

from __future__ import annotations

import contextlib
import http.client
import threading
from dataclasses import dataclass
from urllib.parse import urlsplit

import msgspec

_BROKEN = (http.client.HTTPException, OSError)


class UnreachableError(Exception):
    """Nobody answered in time; the message says how that showed."""


class RefusedError(Exception):
    """The API does not take the request, now or ever.

    Attributes:
        status: Of HTTP.
        code: The slug of the problem, such as `key-unknown`; empty where the answer was not the API's.
        field: Where in the request, if anywhere.
        retry_after_s: When to try again; 0 where it did not say.
    """

    def __init__(self, status: int, code: str, detail: str, field: str | None, retry_after_s: float) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.field = field
        self.retry_after_s = retry_after_s

    @property
    def is_passing(self) -> bool:
        """Whether the same request may be taken later."""
        return self.status in {408, 425, 429} or self.status >= 500


class _Problem(msgspec.Struct):
    """What of a problem document (RFC 9457) is used here."""

    type: str = ""
    detail: str = ""
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer of 2xx."""

    status: int
    body: bytes


class Api:
    """One API, with one key. Safe for several threads: each has a connection of its own.

    Args:
        url: Such as `https://decide.shop.example`.
        key: Of `salience keys create`.
    """

    def __init__(self, url: str, key: str) -> None:
        split = urlsplit(url)
        if split.scheme not in {"http", "https"} or not split.hostname:
            raise ValueError(f"{url!r} is no address; give one such as https://decide.shop.example")
        self._secure = split.scheme == "https"
        self._host, self._port, self._path = split.hostname, split.port, split.path.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        self._own = threading.local()

    def post(self, path: str, body: object, timeout_s: float, idempotency_key: str) -> Reply:
        """Post JSON.

        Args:
            path: Below the address.
            body: Encoded as JSON.
            timeout_s: For each step of the connection, seconds.
            idempotency_key: The same for the same request, so that sending it again on a fresh connection does nothing twice.

        Raises:
            UnreachableError: No answer.
            RefusedError: An answer other than 2xx.
        """
        raw = msgspec.json.encode(body)
        headers = {**self._headers, "Idempotency-Key": idempotency_key}
        try:
            status, retry_after, answer = self._exchange(path, raw, headers, timeout_s)
        except _BROKEN as error:
            raise UnreachableError(f"{type(error).__name__}: {error}") from error
        if status < 300:
            return Reply(status, answer)
        try:
            problem = msgspec.json.decode(answer, type=_Problem)
        except msgspec.MsgspecError:
            problem = _Problem()
        code = problem.type.rpartition(":")[2]
        wait = float(retry_after) if retry_after.isdigit() else 0.0
        raise RefusedError(status, code, problem.detail or f"HTTP {status}", problem.field, wait)

    def close(self) -> None:
        """Close this thread's connection."""
        connection = self._own.__dict__.pop("connection", None)
        if connection is not None:
            connection.close()

    def _exchange(self, path: str, raw: bytes, headers: dict[str, str], timeout_s: float) -> tuple[int, str, bytes]:
        """Send and receive; once more where a connection that was kept had been closed meanwhile."""
        kept: http.client.HTTPConnection | None = getattr(self._own, "connection", None)
        if kept is not None:
            try:
                return self._once(kept, path, raw, headers, timeout_s)
            except TimeoutError:
                self.close()
                raise
            except _BROKEN:
                self.close()
        fresh = self._connect(timeout_s)
        try:
            return self._once(fresh, path, raw, headers, timeout_s)
        except BaseException:
            self.close()
            raise

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=timeout_s)
        self._own.connection = connection
        return connection

    def _once(
        self, connection: http.client.HTTPConnection, path: str, raw: bytes, headers: dict[str, str], timeout_s: float
    ) -> tuple[int, str, bytes]:
        connection.timeout = timeout_s
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        connection.request("POST", self._path + path, raw, headers)
        response = connection.getresponse()
        with contextlib.closing(response):
            answer = response.read()
        return response.status, response.headers.get("Retry-After", ""), answer
