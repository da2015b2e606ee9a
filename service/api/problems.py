"""Every error that a caller can see, as problem details (RFC 9457) with stable type slugs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

MEDIA_TYPE = b"application/problem+json"
TYPE_PREFIX = "urn:salience:problem:"
"""A name, not an address: it tells types apart, and nobody is tempted to fetch it."""


@dataclass(frozen=True, slots=True)
class ProblemType:
    """A kind of problem: its HTTP status and one sentence on what to do about it."""

    status: int
    title: str
    advice: str


PROBLEMS: Mapping[str, ProblemType] = {
    "malformed-json": ProblemType(400, "The body is no JSON", "Send one JSON object in UTF-8."),
    "malformed-message": ProblemType(400, "The message can't be read", "Send what `decisions.proto` declares (gRPC)."),
    "invalid-field": ProblemType(400, "A field does not fit", "Correct the field that `field` names."),
    "too-deep": ProblemType(400, "The body is nested too deeply", "Attributes and facts are flat or nearly so."),
    "key-missing": ProblemType(401, "No key was sent", "Send `Authorization: Bearer <key>`."),
    "key-unknown": ProblemType(401, "The key is not valid", "Use a key that exists and was not revoked."),
    "scope-missing": ProblemType(403, "The key may not do this", "Use a key that has the scope in `detail`."),
    "origin-refused": ProblemType(403, "Pages of this origin may not use the key", "Add the origin to the key."),
    "preview-refused": ProblemType(403, "The preview is not valid", "Make another one with `salience preview`."),
    "not-found": ProblemType(404, "There is nothing here", "See openapi.json for what there is."),
    "decision-unknown": ProblemType(404, "No such decision", "Decisions are kept for some days; check the id."),
    "rule-unknown": ProblemType(404, "No such rule", "The live ruleset names its rules `ruleset.rule`."),
    "not-public": ProblemType(
        404, "The placement is not the same for everybody", "Ask for it with `POST /v1/decide` and a session."
    ),
    "method-not-allowed": ProblemType(405, "The method does not fit", "Use a method that the header Allow names."),
    "body-timeout": ProblemType(408, "The body did not come in time", "Send the request again, without a pause."),
    "body-too-large": ProblemType(413, "The body is too large", "Send fewer events in one request."),
    "too-many-events": ProblemType(413, "Too many events in one request", "Send them in several requests."),
    "too-many-lines": ProblemType(413, "Too many lines in one request", "Send them in several requests."),
    "media-type": ProblemType(415, "The body is not sent as JSON", "Use the `Content-Type` that `detail` names."),
    "idempotency-mismatch": ProblemType(
        422, "The Idempotency-Key stands for another request", "Give each request a key of its own."
    ),
    "log-full": ProblemType(429, "The event log is full for now", "Wait as Retry-After says, then send all again."),
    "rate-limited": ProblemType(
        429, "The key has sent too many requests", "Wait as Retry-After says; the header RateLimit says what is left."
    ),
    "internal": ProblemType(500, "Something went wrong here", "Tell the operator the request id."),
    "log-unavailable": ProblemType(
        503, "The event log does not take events", "Send all again with the same ids; none counts twice."
    ),
    "no-ruleset": ProblemType(503, "No ruleset is live yet", "Publish one with `salience publish`."),
    "overloaded": ProblemType(503, "Too much is in flight", "Nothing was done. Try again as Retry-After says."),
    "store-unavailable": ProblemType(503, "A store does not answer", "Try again as Retry-After says."),
}


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """Problem details.

    Attributes:
        type: One of the slugs of `PROBLEMS` behind `TYPE_PREFIX`.
        field: JSON pointer (RFC 6901) into the body, or the name of a header or parameter.
        request_id: As in the header X-Request-Id.
        retry_after: Seconds.
    """

    type: str
    title: str
    status: int
    detail: str
    request_id: str = ""
    field: str | None = None
    retry_after: int | None = None

    @property
    def code(self) -> str:
        """The slug."""
        return self.type.removeprefix(TYPE_PREFIX)


class ProblemError(Exception):
    """Ends a request with a problem.

    Args:
        slug: A key of `PROBLEMS`.
        detail: One sentence for whoever wrote the caller; holds nothing secret.
        field: Where, as in `Problem`.
        retry_after: Seconds.
        headers: More headers of the response, names in lower case.
    """

    def __init__(
        self,
        slug: str,
        detail: str,
        *,
        field: str | None = None,
        retry_after: int | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(detail)
        self.slug = slug
        self.detail = detail
        self.field = field
        self.retry_after = retry_after
        self.headers = headers

    @property
    def status(self) -> int:
        """The HTTP status."""
        return PROBLEMS[self.slug].status

    def problem(self, request_id: str) -> Problem:
        """The body of the response."""
        kind = PROBLEMS[self.slug]
        return Problem(
            TYPE_PREFIX + self.slug, kind.title, kind.status, self.detail, request_id, self.field, self.retry_after
        )


_AT = re.compile(r" - at `(?:key in )?\$(.*)`$", re.DOTALL)
_NAMED = re.compile(r"(?:missing required|contains unknown) field `([^`]*)`")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]")


def field_problem(error: msgspec.ValidationError, below: str = "") -> ProblemError:
    """A value that does not fit its type, with a JSON pointer to it.

    Args:
        error: As msgspec raised it; its path is translated (`$.events[0].type` becomes `/events/0/type`). A member of
            a free-form object is known only by the object.
        below: Pointer to where the decoded value stands in the body.
    """
    pointer, sentence = located(error)
    return ProblemError("invalid-field", sentence, field=(below + pointer) or "/")


def located(error: msgspec.ValidationError) -> tuple[str, str]:
    """The JSON pointer and the sentence of a validation error."""
    text = str(error)
    at = _AT.search(text)
    pointer = ""
    if at is not None:
        text = text[: at.start()]
        pointer = "".join(f"/{name or index}" for name, index in _STEP.findall(at.group(1)))
    named = _NAMED.search(text)
    if named is not None:
        pointer += "/" + named.group(1).replace("~", "~0").replace("/", "~1")
    return pointer, text[:300] + "."
