"""What is known of a session when it is decided for: as stored, with what this process accepted since."""

from __future__ import annotations

import logging
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from engine.decision import Degradation
from engine.event import Event
from engine.identity import OWNER
from engine.ports import SessionView
from engine.values import Value
from service.api.deadline import RESERVE, Deadline, UnavailableError
from service.api.handed import Session
from service.api.identity import Named, continued, is_signed_out
from service.api.rules import Rules
from service.api.services import Services

log = logging.getLogger("salience.api.session")


async def read_session(
    services: Services, rules: Rules, session_id: str, named: Named, deadline: Deadline, *, keeps: bool = True
) -> Session:
    """Read what bears on a session; as `read_found` and `session_of`."""
    found = await read_found(services, rules, session_id, named, deadline, keeps=keeps)
    return session_of(services, rules, session_id, named, found)


async def read_found(
    services: Services,
    rules: Rules,
    session_id: str,
    named: Named,
    deadline: Deadline,
    riding: Sequence[str] = (),
    *,
    keeps: bool = True,
) -> SessionView:
    """Read what is stored and bears on a session, in one trip; raises `UnavailableError`.

    Args:
        services: Stores.
        rules: The revision that decides.
        session_id: The session.
        named: Whom the request names.
        deadline: Of the request.
        riding: Ids of events that ride along: a request that is sent again finds what the first one brought.
        keeps: Whether the session counts as one that was read lately.
    """
    pending = services.accepted.of_session(session_id, rules, services.clock())
    customer_id = _customer(named, pending)
    ids = (*(event.id for event in pending), *riding) if pending or riding else ()
    coming: Coroutine[Any, Any, SessionView] = services.state.read(session_id, customer_id, ids)
    found = await deadline.call(services.state_breaker, coming, RESERVE * deadline.ours_ms / 1000)
    if keeps:
        services.lately.keep(session_id, customer_id, found, services.clock())
    return found


def session_of(services: Services, rules: Rules, session_id: str, named: Named, found: SessionView) -> Session:
    """What is known of a session that was just read."""
    pending = services.accepted.of_session(session_id, rules, services.clock())
    session = _session(rules, found, named, pending)
    services.accepted.drop(session_id, found.seen)
    if services.asks_crm and session.customer_id is not None and found.profile is None:
        detail = "Nothing is known of the customer: the CRM has not answered yet."
        return msgspec.structs.replace(session, degraded=(Degradation("profile_unavailable", detail),))
    return session


def last_read(
    services: Services, rules: Rules, session_id: str, named: Named, error: UnavailableError
) -> Session | UnavailableError:
    """What this process read of the session last, where that is not long ago; else the error."""
    pending = services.accepted.of_session(session_id, rules, services.clock())
    kept = services.lately.find(session_id, _customer(named, pending), services.clock())
    if kept is None:
        return error
    age, found = kept
    detail = f"The session's state could not be had: {error}. Decided with that of {age // 1000} s ago."
    return msgspec.structs.replace(
        _session(rules, found, named, pending), degraded=(Degradation("state_stale", detail),)
    )


def _customer(named: Named, pending: Sequence[Event]) -> str | None:
    """Whom the request names, or an event that the stream has not come to; None: see the stored session."""
    if named is not UNSET:
        return named
    return next((event.customer_id for event in reversed(pending) if event.customer_id is not None), None)


def _session(rules: Rules, found: SessionView, named: Named, pending: Sequence[Event]) -> Session:
    stored = found.state.customer_id if found.state is not None else None
    signed_out = is_signed_out(named, stored, found.grants)
    customer_id = None if signed_out or named is None else _customer(named, pending) or stored
    profile: dict[str, Value | None] = {}
    if found.profile is not None or stored not in {None, customer_id}:
        profile = dict.fromkeys(rules.profile_facts)  # what the profile no longer has is unknown again
    if found.profile is not None and customer_id is not None:
        profile.update(rules.profile.read(_object(found.profile))[0])
    return Session(
        customer_id,
        found.state.snapshot if found.state is not None else None,
        profile,
        continued(found.grants, customer_id, signed_out=signed_out),
        found,
        tuple(event for event in pending if event.id not in found.seen),
        found.seen,
        found.identity,
        found.grants.get(OWNER),
        signed_out,
    )


def _object(raw: bytes) -> Mapping[str, object]:
    try:
        return _profile(raw)
    except msgspec.MsgspecError as error:
        log.warning("a profile can't be read: %s", error)
        return {}


_profile = msgspec.json.Decoder(dict[str, object]).decode
