"""What an act takes from the limit store: the caps of a rule and of an offer, their keys and their words.

A key says what is counted, for whom and over which period, so that a limit whose number changes keeps its count and
two limits of different periods keep two:

    rule/<rule id>/session/<session id>
    rule/<rule id>/customer/<customer id>/sliding/604800000
    rule/<rule id>/anonymous/<session id>/calendar/week/Europe/Berlin
    offer/<offer id>/total/calendar/day/UTC
    rule/<rule id>/budget
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.language.tree import Limit, LimitScope, Offer, Rule
from engine.ports import Cap, Claim
from engine.schedule import period
from engine.units import duration_text
from engine.values import EpochMs, Millis

_DAY: Millis = 24 * 60 * 60 * 1000

SESSION_CAP_KEPT: Millis = 7 * _DAY
"""How long the count of a session without an end of its own is kept: far past any session, so that none outlives its
limit, and not for ever, or each session would leave a key behind."""


@dataclass(frozen=True, slots=True)
class Person:
    """For whom acts count. While `customer_id` is None, what counts per customer counts for the session.

    Attributes:
        drawn_as: Who draws for holdouts where that is neither the customer nor the session: see `engine.identity.Identity`.
        sessions: Sessions whose anonymous acts count for the customer.
        is_signed_out: Somebody signed out of this very session: what is shown from now on counts for nobody's customer.
    """

    session_id: str
    customer_id: str | None
    drawn_as: str | None = None
    sessions: tuple[str, ...] = ()
    is_signed_out: bool = False

    @property
    def key(self) -> str:
        """Who draws for holdouts: the customer, or the session while anonymous, unless `drawn_as` says otherwise."""
        if self.drawn_as is not None:
            return self.drawn_as
        return self.session_id if self.customer_id is None else self.customer_id


@dataclass(frozen=True, slots=True)
class NamedCap:
    """A cap and the limit of a rule or an offer (`thing`) that it stands for; `limit` None is the rule's budget."""

    cap: Cap
    limit: Limit | None
    thing: str

    @property
    def words(self) -> str:
        """What is used up, for people: "the rule's limit of 3 times per customer in 1 week is used up"."""
        if self.limit is None:
            return f"the {self.thing}'s budget does not cover the cost of this offer any more"
        times = "once" if self.limit.most == 1 else f"{self.limit.most} times"
        whose = {
            LimitScope.SESSION: "per session",
            LimitScope.CUSTOMER: "per customer",
            LimitScope.TOTAL: "in total",
        }[self.limit.scope]
        return f"the {self.thing}'s limit of {times} {whose}{_over(self.limit)} is used up"

    @property
    def is_own(self) -> bool:
        """Whether only acts of this session count, and for ever: a refusal stands until the session ends."""
        limit = self.limit
        return (
            limit is not None and limit.scope is LimitScope.SESSION and limit.sliding is None and limit.calendar is None
        )


def caps_of_rule(rule: Rule, person: Person, cost: int, now: EpochMs) -> tuple[NamedCap, ...]:
    """What one act of the rule takes: one of each of its limits, and `cost` (minor units) of its budget."""
    named = [NamedCap(_cap(f"rule/{rule.id}", limit, person, now), limit, "rule") for limit in rule.limits]
    if rule.budget is not None and cost > 0:
        named.append(NamedCap(Cap(f"rule/{rule.id}/budget", rule.budget, cost, is_budget=True), None, "rule"))
    return tuple(named)


def caps_of_offer(offer: Offer, person: Person, now: EpochMs) -> tuple[NamedCap, ...]:
    """What one act takes from the limits of the offer, which hold over all rules that nominate it."""
    return tuple(NamedCap(_cap(f"offer/{offer.id}", limit, person, now), limit, "offer") for limit in offer.limits)


def claim_of_activation(rule: Rule, person: Person, token: str, time: EpochMs) -> Claim | None:
    """What an act in the stream takes from the limits that span sessions; None where there is nothing to take.

    The limits of the session are not among them: the session's memory keeps those, and what they held back does not
    come here (`Activation.acts`).

    Args:
        rule: The rule of the activation.
        person: The session and its customer.
        token: The id of the message that the act sends, so that a replay takes once.
        time: Of the activation, so that a replay counts in the same period.
    """
    caps = caps_of_rule(rule, person, 0, time)
    spanning = tuple(named.cap for named in caps if named.limit and named.limit.scope is not LimitScope.SESSION)
    return Claim(token, spanning) if spanning else None


def _cap(prefix: str, limit: Limit, person: Person, now: EpochMs) -> Cap:
    period_of_key = ""
    if limit.sliding is not None:
        period_of_key = f"/sliding/{limit.sliding}"
    elif limit.calendar is not None:
        period_of_key = f"/calendar/{limit.calendar.value}/{limit.timezone}"
    key = f"{prefix}/{_whose(limit.scope, person)}{period_of_key}"
    also: tuple[str, ...] = ()
    if limit.scope is LimitScope.CUSTOMER and person.sessions:
        also = tuple(f"{prefix}/anonymous/{session_id}{period_of_key}" for session_id in person.sessions)
    if limit.sliding is not None:
        return Cap(key, limit.most, 1, sliding=limit.sliding, also=also)
    if limit.calendar is not None:
        begins, ends = period(limit, now)
        return Cap(key, limit.most, 1, bucket=begins, expires=ends, also=also)
    expires = now + SESSION_CAP_KEPT if limit.scope is LimitScope.SESSION else None
    return Cap(key, limit.most, 1, expires=expires, also=also)


def _whose(scope: LimitScope, person: Person) -> str:
    if scope is LimitScope.TOTAL:
        return "total"
    if scope is LimitScope.SESSION:
        return f"session/{person.session_id}"
    if person.is_signed_out:
        return f"signed-out/{person.session_id}"
    if person.customer_id is None:
        return f"anonymous/{person.session_id}"
    return f"customer/{person.customer_id}"


def _over(limit: Limit) -> str:
    if limit.calendar is not None:
        return f" in a calendar {limit.calendar.value}"
    return "" if limit.sliding is None else f" in {duration_text(limit.sliding)}"
