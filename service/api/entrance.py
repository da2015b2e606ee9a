"""The way in to every endpoint, over HTTP and gRPC alike: the key, its rate, room for one more, in this order."""

from __future__ import annotations

from collections.abc import Mapping

from service.api.access import Access
from service.api.call import Endpoint, Headers
from service.api.problems import ProblemError
from service.api.services import Services
from service.keys import ApiKey


def enter(
    services: Services, access: Access, endpoint: Endpoint, headers: Mapping[bytes, bytes], query: Mapping[str, str]
) -> tuple[ApiKey | None, Headers]:
    """Let a call in before its body is looked at, which costs next to nothing.

    Returns:
        The key, and the headers that say what is left of its rate; None and none for an endpoint that needs no key.

    Raises:
        ProblemError: It may not come in; with the headers of the rate where that was asked.
    """
    key = access.key_of(endpoint, headers, query)
    if key is None:
        return None, ()
    limited = services.admission.check_rate(key)
    try:
        services.admission.check_room(key)
        if endpoint.streams:
            services.admission.check_streams()
        if endpoint.check is not None:
            endpoint.check(services)
    except ProblemError as problem:
        problem.headers = (*problem.headers, *limited)
        raise
    return key, limited
