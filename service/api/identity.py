"""Who a decision is for: an anonymous session, a customer, or a session that somebody signed out of.

Signing in brings along what the session was while it was anonymous: its acts count for the customer, and it draws the
holdouts of a customer who has not been drawn yet. Signing out leaves all of that with the customer. Which of them a
session was decided for last stands beside its grants.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TypeAlias

from msgspec import UNSET, UnsetType

from engine.decision import Decision, Outcome
from engine.identity import ANONYMOUS, OWNER, SIGNED_OUT, Identity, identified
from engine.offers import Person
from service.api.deadline import Deadline, UnavailableError
from service.api.services import Services

log = logging.getLogger("salience.api.identity")

Named: TypeAlias = "str | UnsetType | None"
"""Whom a request names: a customer, nobody (None: signed out), or whoever the session belongs to (UNSET)."""


def is_signed_out(named: Named, stored: str | None, grants: Mapping[str, bytes]) -> bool:
    """Whether somebody was signed in before, and is not any more."""
    owner = grants.get(OWNER)
    if named is UNSET:
        return owner == SIGNED_OUT
    return named is None and (stored is not None or owner not in {None, ANONYMOUS})


def continued(grants: Mapping[str, bytes], customer_id: str | None, *, signed_out: bool) -> Mapping[str, bytes]:
    """The grants that go on: those of somebody else do not, those of the session before it signed in do."""
    owner = grants.get(OWNER)
    if owner is None or owner == _owner(customer_id, signed_out=signed_out):
        return grants
    return grants if owner == ANONYMOUS and customer_id is not None else {}


async def identify(
    services: Services,
    session_id: str,
    customer_id: str | None,
    known: Identity | None,
    owner: bytes | None,
    deadline: Deadline,
    *,
    signed_out: bool,
    draws: bool,
) -> Person:
    """For whom acts count and holdouts are drawn.

    Args:
        services: Its stores keep what signing in brought.
        session_id: The session.
        customer_id: Who is signed in.
        known: What is kept of the customer.
        owner: For whom the session was decided last, as `OWNER` keeps it.
        deadline: Of the request.
        signed_out: As `is_signed_out` says.
        draws: Whether anything is held out at all, so that it matters who draws.
    """
    if customer_id is None:
        return Person(session_id, None, is_signed_out=signed_out)
    was_anonymous = owner == ANONYMOUS
    brings = was_anonymous and (known is None or session_id not in known.sessions)
    if brings or (known is None and draws):
        coming = services.state.identify(customer_id, session_id, was_anonymous=was_anonymous)
        try:
            known = await deadline.call(services.limits_breaker, coming, 0.0)
        except UnavailableError as error:
            # As it would have been: the next decision tries again, and draws the same.
            log.warning("what session %r brought to its customer was not kept: %s", session_id, error)
            known = identified(known, customer_id, session_id, was_anonymous=was_anonymous)
    if known is None:
        return Person(session_id, customer_id)
    return Person(session_id, customer_id, known.drawn_as, known.sessions)


def owned(grants: dict[str, bytes], decision: Decision, person: Person, *, draws: bool) -> dict[str, bytes]:
    """The grants with their owner, once something was decided that a later sign-in has to bring along."""
    shown = any(offer.token for placed in decision.placements for offer in placed.offers)
    drawn = draws and any(each.outcome not in {Outcome.NO_MATCH, Outcome.DEGRADED} for each in decision.placements)
    if shown or drawn or person.is_signed_out:
        grants[OWNER] = _owner(person.customer_id, signed_out=person.is_signed_out)
    return grants


def _owner(customer_id: str | None, *, signed_out: bool) -> bytes:
    if signed_out:
        return SIGNED_OUT
    return ANONYMOUS if customer_id is None else customer_id.encode()
