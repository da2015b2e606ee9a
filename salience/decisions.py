"""Decisions for a shop's servers: what placements show, in time, and the shop's own content where nobody answers.

from salience.decisions import Decisions

decisions = Decisions("https://decide.shop.example", key, fallbacks={"cart_banner": [{"title": "Welcome"}]})
decision = decisions.decide(session_id, ["cart_banner"], context={"context.page": "cart"})
for offer in decision.offers("cart_banner"):
render(offer.content)
decisions.expose(decision)
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from salience.http import Api, RefusedError, UnreachableError

log = logging.getLogger("salience.decisions")

TIMEOUT_S = 1.0
EXPOSE_TIMEOUT_S = 5.0


class Offer(msgspec.Struct, frozen=True):
    """What is shown. `rule` is None for a fallback; `token` is what an exposure confirms, None where nothing was taken."""

    offer: str
    content: Any
    rule: str | None = None
    token: str | None = None


class PlacementError(msgspec.Struct, frozen=True):
    """Why a placement has no answer."""

    code: str
    detail: str


class Placement(msgspec.Struct, frozen=True):
    """The answer for one placement."""

    placement: str
    offers: tuple[Offer, ...] = ()
    outcome: str | None = None
    valid_until: int | None = None
    error: PlacementError | None = None


class Degradation(msgspec.Struct, frozen=True):
    """Something that was not there for the decision."""

    code: str
    detail: str


class Decision(msgspec.Struct, frozen=True):
    """What the service decided; without `decision_id` where nobody answered and the shop's own fallbacks are shown."""

    session_id: str
    placements: tuple[Placement, ...]
    decision_id: str | None = None
    time: int | None = None
    revision: int = 0
    degraded: tuple[Degradation, ...] = ()
    valid_until: int | None = None

    def offers(self, placement: str) -> tuple[Offer, ...]:
        """What a placement shows; empty where there is nothing."""
        return next((each.offers for each in self.placements if each.placement == placement), ())


class Decisions:
    """Asks one decision API. Safe for several threads.

    Args:
        url: Of the API.
        key: A server key with the scope `decide`.
        fallbacks: By placement, the contents that are shown when nobody answers.
        timeout_s: The longest that a page waits.
    """

    def __init__(
        self, url: str, key: str, *, fallbacks: Mapping[str, Sequence[Any]] | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        self._api = Api(url, key)
        self._fallbacks = dict(fallbacks or {})
        self._timeout_s = timeout_s
        self._decode = msgspec.json.Decoder(Decision).decode

    def decide(
        self,
        session_id: str,
        placements: Sequence[str],
        *,
        customer_id: str | UnsetType | None = UNSET,
        context: Mapping[str, object] | None = None,
        timeout_s: float | None = None,
        preview: str | None = None,
    ) -> Decision:
        """What the placements show. Never raises for want of an answer: the shop's fallbacks are one.

        Args:
            session_id: The visit.
            placements: Names, as the vocabulary declares them.
            customer_id: Who is signed in; None: nobody any more; left out: whoever the session belongs to.
            context: Facts of the request.
            timeout_s: Instead of the one given at the start.
            preview: A token of `salience preview`.

        Raises:
            RefusedError: The request is wrong, or the key may not ask: a fault of the caller's, to be seen in development.
        """
        within = self._timeout_s if timeout_s is None else timeout_s
        body = {
            "session_id": session_id,
            "placements": list(placements),
            "context": dict(context or {}),
            "deadline_ms": max(1, min(60_000, 1000 * within)),
            **({} if customer_id is UNSET else {"customer_id": customer_id}),
            **({} if preview is None else {"preview": preview}),
        }
        try:
            reply = self._api.post("/v1/decide", body, within, uuid.uuid4().hex)
            decision = self._decode(reply.body)
        except RefusedError as refused:
            if not refused.is_passing:
                raise
            return self._own(session_id, placements, str(refused))
        except (UnreachableError, msgspec.MsgspecError) as error:
            return self._own(session_id, placements, str(error))
        shown = (each if each.offers or each.error else self._fallback(each.placement) for each in decision.placements)
        return msgspec.structs.replace(decision, placements=tuple(shown))

    def expose(self, decision: Decision, placements: Sequence[str] | None = None) -> bool:
        """Report that a shopper has seen a decision, or some of its placements; whether that was kept."""
        if decision.decision_id is None:
            return False
        seen = {
            each.placement: [offer.token for offer in each.offers if offer.token is not None]
            for each in decision.placements
            if each.error is None and (placements is None or each.placement in placements)
        }
        if not seen:
            return False
        body = {"decision_id": decision.decision_id, "session_id": decision.session_id, "placements": seen}
        try:
            self._api.post("/v1/exposures", body, EXPOSE_TIMEOUT_S, uuid.uuid4().hex)
        except (RefusedError, UnreachableError) as error:
            log.warning("an exposure of decision %s was not kept: %s", decision.decision_id, error)
            return False
        return True

    def close(self) -> None:
        """Close this thread's connection."""
        self._api.close()

    def _own(self, session_id: str, placements: Sequence[str], reason: str) -> Decision:
        log.warning("the page's own fallbacks are shown: %s", reason)
        degraded = (Degradation("service_unreachable", reason),)
        return Decision(session_id, tuple(map(self._fallback, dict.fromkeys(placements))), degraded=degraded)

    def _fallback(self, placement: str) -> Placement:
        contents = self._fallbacks.get(placement, ())
        return Placement(placement, tuple(Offer("fallback", content) for content in contents), "degraded")
