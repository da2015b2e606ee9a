"""For operators and browsers: health, readiness, metrics, the OpenAPI document, the JavaScript snippet."""

from __future__ import annotations

import functools
import hashlib
from importlib.resources import files

from engine.decision import Degradation
from service.api import metrics
from service.api.breaker import Circuit
from service.api.call import Answer, Call, Endpoint, Headers
from service.api.problems import ProblemError
from service.api.schema import Health, Readiness
from service.api.services import Services

_FOR_ALL: Headers = ((b"access-control-allow-origin", b"*"), (b"cross-origin-resource-policy", b"cross-origin"))
_AN_HOUR = b"public, max-age=3600"


async def get_healthz(services: Services, call: Call) -> Answer:
    """The process answers: nothing else is looked at, or a store that is gone would have every process restarted."""
    return Answer(Health("ok"))


async def get_readyz(services: Services, call: Call) -> Answer:
    """Ready is who can decide. A store that is gone does not change that: answers then are fallbacks, and say so."""
    rules = services.rules.current
    if rules is None:
        services.live()
        raise ProblemError("no-ruleset", "No ruleset is live.", retry_after=2)
    missing = []
    if services.rules.holder.problem:
        missing.append(Degradation("ruleset", f"{services.rules.holder.problem}."))
    if services.keys.problem:
        missing.append(Degradation("keys", f"Keys can't be read, those known stay valid: {services.keys.problem}."))
    missing += [
        Degradation("store", f"{breaker.name} does not answer.")
        for breaker in (services.state_breaker, services.limits_breaker, services.log_breaker)
        if breaker.circuit is not Circuit.CLOSED
    ]
    revision = rules.loaded.revision
    age = max(0, services.clock() - revision.time)
    return Answer(Readiness("degraded" if missing else "ready", revision.number, revision.bundle, age, tuple(missing)))


async def get_metrics(services: Services, call: Call) -> Answer:
    """Prometheus' text format, of all processes."""
    rules = services.rules.current
    services.metrics.revision.set(0 if rules is None else rules.loaded.revision.number)
    return Answer(services.metrics.text(), content_type=metrics.CONTENT_TYPE)


async def get_openapi(services: Services, call: Call) -> Answer:
    """The OpenAPI 3.1 document of this API."""
    from service.api.openapi import document  # noqa: PLC0415  it reads the table of endpoints, which this is part of

    return _static(call, document(), b"application/json")


async def get_snippet(services: Services, call: Call) -> Answer:
    """The JavaScript snippet."""
    return _static(call, snippet(), b"text/javascript; charset=utf-8")


@functools.cache
def snippet() -> bytes:
    """`salience.js`."""
    return files("service").joinpath("static/salience.js").read_bytes()


def _static(call: Call, body: bytes, content_type: bytes) -> Answer:
    tag = _tag(body)
    headers: Headers = ((b"etag", tag), (b"cache-control", _AN_HOUR), *_FOR_ALL)
    known = call.headers.get(b"if-none-match", b"")
    if known == b"*" or tag in (each.strip().removeprefix(b"W/") for each in known.split(b",")):
        return Answer(b"", 304, headers=headers)
    return Answer(body, content_type=content_type, headers=headers)


@functools.lru_cache(maxsize=4)
def _tag(body: bytes) -> bytes:
    return b'"' + hashlib.sha256(body).hexdigest()[:32].encode() + b'"'


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET", "/healthz", "healthz", "Say whether the process answers.", get_healthz, {200: (Health, "It does.")}
    ),
    Endpoint(
        "GET",
        "/readyz",
        "readyz",
        "Say whether the process can decide.",
        get_readyz,
        {200: (Readiness, "It can; `degraded` says what is missing.")},
        problems=("no-ruleset",),
    ),
    Endpoint(
        "GET",
        "/metrics",
        "metrics",
        "Metrics in Prometheus' text format.",
        get_metrics,
        {200: (None, "The metrics of all processes of this host.")},
        content_type="text/plain",
    ),
    Endpoint(
        "GET",
        "/openapi.json",
        "openapi",
        "This document.",
        get_openapi,
        {200: (dict[str, object], "The OpenAPI 3.1 document."), 304: (None, "The one known is current.")},
    ),
    Endpoint(
        "GET",
        "/salience.js",
        "snippet",
        "The JavaScript snippet for storefronts.",
        get_snippet,
        {200: (None, "The script."), 304: (None, "The one known is current.")},
        content_type="text/javascript",
    ),
)
