"""The table of endpoints, and how a path finds its own."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from service.api import bulk, customers, decide, exposures, health, ingest, ofrep, public, why
from service.api.call import Endpoint

ENDPOINTS: tuple[Endpoint, ...] = (
    *decide.ENDPOINTS,
    *bulk.ENDPOINTS,
    *public.ENDPOINTS,
    *ofrep.ENDPOINTS,
    *ingest.ENDPOINTS,
    *exposures.ENDPOINTS,
    *customers.ENDPOINTS,
    *why.ENDPOINTS,
    *health.ENDPOINTS,
)


class Routes:
    """Finds the endpoints of a path: fixed paths by a dict, those with parameters segment by segment."""

    def __init__(self, endpoints: tuple[Endpoint, ...] = ENDPOINTS) -> None:
        self._fixed: dict[str, dict[str, Endpoint]] = {}
        self._patterns: dict[tuple[str, ...], dict[str, Endpoint]] = {}
        for endpoint in endpoints:
            if "{" in endpoint.path:
                segments = tuple(endpoint.path.strip("/").split("/"))
                self._patterns.setdefault(segments, {})[endpoint.method] = endpoint
            else:
                self._fixed.setdefault(endpoint.path, {})[endpoint.method] = endpoint

    def find(self, raw_path: str) -> tuple[Mapping[str, Endpoint], Mapping[str, str]]:
        """The endpoints of a path by method (empty: there is none), and the path's parameters, decoded.

        Args:
            raw_path: As sent, percent-encoded, without the query: an id may hold an encoded slash.
        """
        fixed = self._fixed.get(raw_path)
        if fixed is not None:
            return fixed, {}
        segments = raw_path.strip("/").split("/")
        for pattern, found in self._patterns.items():
            if len(pattern) == len(segments) and all(
                part.startswith("{") or part == segment for part, segment in zip(pattern, segments, strict=True)
            ):
                parameters = {
                    part[1:-1]: unquote(segment)
                    for part, segment in zip(pattern, segments, strict=True)
                    if part.startswith("{")
                }
                return found, parameters
        return {}, {}
