"""The OpenAPI 3.1 document, generated from the table of endpoints and the msgspec types."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeAlias

import msgspec

from service.api.call import Endpoint
from service.api.problems import MEDIA_TYPE, PROBLEMS, TYPE_PREFIX, Problem
from service.keys import Scope

Object: TypeAlias = dict[str, Any]

_WITH_KEY = ("key-missing", "key-unknown", "scope-missing", "origin-refused", "rate-limited", "overloaded")
_WITH_BODY = (
    "malformed-json",
    "invalid-field",
    "too-deep",
    "body-timeout",
    "body-too-large",
    "media-type",
    "idempotency-mismatch",
)
_ANY = ("internal",)
_REFERENCE = "#/components/schemas/{name}"


@functools.cache
def document() -> bytes:
    """The document as JSON."""
    return msgspec.json.encode(described(), order="deterministic")


def described() -> Object:
    """The document."""
    from service.api.routes import ENDPOINTS  # noqa: PLC0415  the endpoint of this document is part of the table

    types = [Problem, *dict.fromkeys(kind for endpoint in ENDPOINTS for kind in _types(endpoint))]
    schemas, components = msgspec.json.schema_components(types, schema_hook=_any_json, ref_template=_REFERENCE)
    schema_of = dict(zip(map(repr, types), schemas, strict=True))
    paths: dict[str, Object] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Salience decision API",
            "version": _version(),
            "description": "Send events, ask what to show, report what was seen. "
            "Errors are problem details (RFC 9457); faults of the service never fail a decision.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A key of `salience keys create`. Scopes: " + ", ".join(Scope) + ".",
                },
                "storefront": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "key",
                    "description": "The same for storefront keys, so that browsers need not ask for permission first.",
                },
            },
        },
    }


def _any_json(kind: type) -> Object:
    """Content and raw attributes are any JSON."""
    if kind is object:
        return {"description": "Any JSON."}  # an empty schema says the same, but msgspec takes it for none
    raise NotImplementedError


def _types(endpoint: Endpoint) -> Iterator[Any]:
    yield from endpoint.request
    yield from (kind for kind, _ in endpoint.responses.values() if kind is not None)


def _operation(endpoint: Endpoint, schema_of: Object) -> Object:
    operation: Object = {
        "operationId": endpoint.operation,
        "summary": endpoint.summary,
        "parameters": [
            {
                "name": each.name,
                "in": each.where,
                "required": each.required,
                "description": each.description,
                "schema": {"type": "string"} | ({"pattern": each.pattern} if each.pattern else {}),
            }
            for each in endpoint.parameters
        ],
        "responses": {
            str(status): _response(endpoint, status, kind, sentence, schema_of)
            for status, (kind, sentence) in endpoint.responses.items()
        },
    }
    if endpoint.scope is not None:
        operation["security"] = [{"bearer": []}, {"storefront": []}]
        operation["description"] = f"Needs a key with the scope `{endpoint.scope}`."
    else:
        operation["security"] = []
    if endpoint.request:
        schemas = [schema_of[repr(kind)] for kind in endpoint.request]
        body = {"schema": schemas[0] if len(schemas) == 1 else {"anyOf": schemas}}
        operation["requestBody"] = {"required": True, "content": dict.fromkeys(endpoint.accepts, body)}
    slugs = [
        *endpoint.problems,
        *(_WITH_KEY if endpoint.scope is not None else ()),
        *(_WITH_BODY if endpoint.request else ()),
        *_ANY,
    ]
    by_status: dict[int, list[str]] = {}
    for slug in dict.fromkeys(slugs):
        by_status.setdefault(PROBLEMS[slug].status, []).append(slug)
    for status, names in sorted(by_status.items()):
        problems = _problems(names, schema_of)
        own = operation["responses"].setdefault(str(status), problems)
        if own is not problems:
            own["content"] = {**own["content"], **problems["content"]}
    return operation


def _response(endpoint: Endpoint, status: int, kind: Any, sentence: str, schema_of: Object) -> Object:
    response: Object = {"description": sentence}
    if kind is not None:
        response["content"] = {endpoint.content_type: {"schema": schema_of[repr(kind)]}}
    elif status == 200:
        response["content"] = {endpoint.content_type: {"schema": {"type": "string"}}}
    return response


def _problems(slugs: list[str], schema_of: Object) -> Object:
    problem = schema_of[repr(Problem)]
    narrowed = {"allOf": [problem, {"properties": {"type": {"enum": [TYPE_PREFIX + slug for slug in slugs]}}}]}
    words = " ".join(f"`{slug}`: {PROBLEMS[slug].title}." for slug in slugs)
    return {"description": words, "content": {MEDIA_TYPE.decode(): {"schema": narrowed}}}


def _version() -> str:
    try:
        return version("salience")
    except PackageNotFoundError:
        return "0"
