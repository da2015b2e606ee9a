"""Which acts of a batch may be sent: holdouts by identity, then the limits that span sessions.

It comes after the evaluation, which stays a pure function, and before the write. Everything it takes or keeps is under
a token or a name that a replay has again, so that doing it twice does it once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Protocol

from engine.identity import OWNER, SIGNED_OUT, Identity
from engine.language.tree import LimitScope, Program, Rule, TriggerAction
from engine.offers import Person, claim_of_activation, is_held_out
from engine.ports import Claim, Verdict
from engine.values import EpochMs, Millis
from service.worker.work import Act, Sending


class Limits(Protocol):
    """What is taken from; see `LimitStore`."""

    def take(self, claims: Sequence[Claim], slots: int, now: EpochMs, hold: Millis | None) -> Sequence[Verdict]:
        """As `LimitStore.take`."""


class Identities(Protocol):
    """Who draws; see `engine.identity.Identities`."""

    def read(self, who: Sequence[tuple[str, str]]) -> Sequence[tuple[Identity | None, Mapping[str, bytes]]]:
        """As `Identities.read`."""

    def identify(self, customer_id: str, session_id: str, *, was_anonymous: bool) -> Identity:
        """As `Identities.identify`."""


@dataclass(frozen=True, slots=True)
class Withheld:
    """Tokens of the acts that are not sent: `held_out` of the rule, `limited` by a limit over sessions."""

    held_out: set[str] = field(default_factory=set)
    limited: set[str] = field(default_factory=set)


def concerns_persons(program: Program) -> bool:
    """Whether a rule that sends triggers holds somebody out, or counts for customers."""
    return any(
        _concerns(rule) for rule in program.rules if any(isinstance(each, TriggerAction) for each in rule.actions)
    )


def withhold(
    acts: Sequence[Act],
    signed_in: Sequence[tuple[str, str]],
    limits: Limits,
    identities: Identities,
    salt: str | None,
) -> Withheld:
    """Decide it for the acts of a batch, in order.

    Args:
        acts: What the evaluation brought.
        signed_in: (session, customer) where an anonymous session was said to be a customer's; empty where nothing of it
            matters.
        limits: Takes are made here.
        identities: What signing in brings is kept here.
        salt: Of the holdouts; None: nobody is held out.

    Raises:
        PortError: A store does not answer; do it again.
    """
    withheld = Withheld()
    sending = [(act.sending, act.time) for act in acts if act.sending is not None]
    persons = _Persons(sending, signed_in, identities)
    asking: list[tuple[Claim, EpochMs]] = []
    for each, time in sending:
        draws = salt is not None and each.rule.holdout > 0
        person = persons.of(each, draws=draws)
        if is_held_out(salt, f"rule/{each.rule.id}", person.key, each.rule.holdout):
            withheld.held_out.add(each.token)
            continue
        claim = claim_of_activation(each.rule, person, each.token, time)
        if claim is not None:
            asking.append((claim, time))
    for time, group in groupby(asking, key=lambda each: each[1]):
        claims = [claim for claim, _ in group]
        verdicts = limits.take(claims, len(claims), time, None)
        withheld.limited.update(verdict.token for verdict in verdicts if not verdict.granted)
    return withheld


class _Persons:
    """For whom acts count: read at once for all that matter."""

    def __init__(
        self, sending: Sequence[tuple[Sending, EpochMs]], signed_in: Sequence[tuple[str, str]], identities: Identities
    ) -> None:
        self._identities = identities
        acting = [
            (each.session_id, each.customer_id)
            for each, _ in sending
            if each.customer_id is not None and _concerns(each.rule)
        ]
        who = list(dict.fromkeys((*signed_in, *acting)))
        found = dict(zip(who, identities.read(who), strict=True)) if who else {}
        self._known: dict[str, Identity | None] = {customer: found[each][0] for each in who for customer in each[1:]}
        self._owners = {session: found[session, customer][1].get(OWNER) for session, customer in who}
        for session_id, customer_id in signed_in:
            known = self._known[customer_id]
            if known is None or session_id not in known.sessions:
                self._known[customer_id] = identities.identify(customer_id, session_id, was_anonymous=True)

    def of(self, sending: Sending, *, draws: bool) -> Person:
        """Like `service.api.identity.identify` for a decision."""
        session_id, customer_id = sending.session_id, sending.customer_id
        if customer_id is None:
            return Person(session_id, None)
        if self._owners.get(session_id) == SIGNED_OUT and not sending.is_named:
            return Person(session_id, None, is_signed_out=True)
        known = self._known.get(customer_id)
        if known is None and draws:
            known = self._known[customer_id] = self._identities.identify(customer_id, session_id, was_anonymous=False)
        if known is None:
            return Person(session_id, customer_id)
        return Person(session_id, customer_id, known.drawn_as, known.sessions)


def _concerns(rule: Rule) -> bool:
    return rule.holdout > 0 or any(limit.scope is LimitScope.CUSTOMER for limit in rule.limits)
