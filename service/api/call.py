"""One HTTP call as the endpoints see it, what they answer, and how an endpoint declares itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import msgspec

from service.api.problems import ProblemError, field_problem
from service.api.timing import Timing
from service.keys import ApiKey, Scope

if TYPE_CHECKING:
    from service.api.services import Services

T = TypeVar("T")

JSON = b"application/json"
NDJSON = "application/x-ndjson"
JSON_TYPES = ("application/json", "text/plain")
"""Of a body. text/plain is what `sendBeacon` sends without asking for permission first."""
Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]


class Call(msgspec.Struct):
    """A call that may proceed: its key has the scope, its body is whole.

    Attributes:
        headers: By name in lower case; of a repeated one the first.
        query: Decoded; of a repeated one the last.
        parameters: Of the path.
        key: None for endpoints that need none.
    """

    method: str
    path: str
    headers: Mapping[bytes, bytes]
    query: Mapping[str, str]
    parameters: Mapping[str, str]
    request_id: str
    key: ApiKey | None
    body: bytes
    timing: Timing = msgspec.field(default_factory=Timing)

    def read(self, decoder: msgspec.json.Decoder[T]) -> T:
        """The body, checked; raises `ProblemError` 400 with the field that does not fit."""
        return decode(decoder, self.body)

    def has(self, scope: Scope) -> bool:
        """Whether the key has a scope."""
        return self.key is not None and scope in self.key.scopes


class Answer(msgspec.Struct):
    """A response. `body` is encoded as JSON unless it is bytes; parts that come one by one are sent as they come."""

    body: object | AsyncIterator[bytes]
    status: int = 200
    content_type: bytes = JSON
    headers: Headers = ()


Handler: TypeAlias = Callable[["Services", Call], Awaitable[Answer]]


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of the path, the query or a header; all are texts, `pattern` (ECMA 262) says which."""

    name: str
    where: str
    description: str
    required: bool = False
    pattern: str | None = None


IDEMPOTENCY_KEY = Parameter(
    "Idempotency-Key",
    "header",
    "Sent again with the same key, the same body gets the answer of the first time.",
    pattern="^[!-~]{1,200}$",
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint: what the router and the OpenAPI document need to know.

    Attributes:
        path: With `{parameters}`.
        scope: What the key needs; None: no key.
        request: Types of which the JSON body is one; none without a body.
        responses: Type (None: no JSON) and sentence by status, problems aside.
        problems: Slugs that this endpoint answers with, beside those that every endpoint of its kind does.
        content_type: Of the answer.
        accepts: Media types of the body.
        check: Asked before the body is read; raises `ProblemError`.
        streams: It answers line by line, and its lines take turns behind everybody else.
    """

    method: str
    path: str
    operation: str
    summary: str
    handler: Handler
    responses: Mapping[int, tuple[Any, str]]
    scope: Scope | None = None
    request: tuple[Any, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[str, ...] = ()
    content_type: str = "application/json"
    accepts: tuple[str, ...] = JSON_TYPES
    streams: bool = False
    check: Callable[[Services], None] | None = None


def decode(decoder: msgspec.json.Decoder[T], raw: bytes | msgspec.Raw, below: str = "") -> T:
    """Decode JSON from outside; every way in which it can be wrong is a `ProblemError`."""
    try:
        return decoder.decode(raw)
    except msgspec.ValidationError as error:
        raise field_problem(error, below) from None
    except msgspec.DecodeError as error:
        raise ProblemError("malformed-json", f"{str(error)[:200]}.", field=below or None) from None
    except RecursionError:
        raise ProblemError(
            "too-deep", "The body is nested more deeply than can be read.", field=below or None
        ) from None
