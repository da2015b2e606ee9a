"""OFREP, the OpenFeature remote evaluation protocol: any OpenFeature provider can ask what placements show.

A flag is a placement, the targeting key is the session; its value is the content that is shown.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from engine.decision import Outcome
from service.api.call import IDEMPOTENCY_KEY, Answer, Call, Endpoint, Parameter
from service.api.conditional import conditional, etag
from service.api.decide import decided
from service.api.schema import (
    DecideAnswer,
    OfrepFlag,
    OfrepFlags,
    OfrepProblem,
    OfrepRequest,
    PlacementAnswer,
    RawDecideRequest,
    RawOfrepRequest,
)
from service.api.services import Services
from service.keys import Scope

TARGETING_KEY = "targetingKey"
CUSTOMER = "customer_id"

_request = msgspec.json.Decoder(RawOfrepRequest)


REASONS: Mapping[Outcome, str] = {
    Outcome.OFFER: "TARGETING_MATCH",
    Outcome.HOLDOUT: "SPLIT",
    Outcome.NO_MATCH: "DEFAULT",
    Outcome.SUPPRESSED: "DEFAULT",
    Outcome.DEGRADED: "DEFAULT",
}


async def post_flag(services: Services, call: Call) -> Answer:
    """Decide for one placement."""
    rules = services.live()
    name = call.parameters["flag"]
    if name not in rules.loaded.program.vocabulary.placements:
        detail = f"The live ruleset declares no placement {name[:100]!r}."
        return Answer(OfrepProblem("FLAG_NOT_FOUND", detail, name), 404)
    asked = _read(call, (name,))
    if isinstance(asked, OfrepProblem):
        return Answer(msgspec.structs.replace(asked, key=name), 400)
    answer = await decided(services, call, asked)
    return Answer(_flag(answer, answer.placements[0], answer.decision_id))


async def post_flags(services: Services, call: Call) -> Answer:
    """Decide for every placement of the live ruleset."""
    rules = services.live()
    asked = _read(call, tuple(rules.loaded.program.vocabulary.placements))
    if isinstance(asked, OfrepProblem):
        return Answer(asked, 400)
    answer = await decided(services, call, asked)
    flags = [_flag(answer, placed, answer.decision_id) for placed in answer.placements]
    shown = [_flag(answer, placed, "") for placed in answer.placements]
    return conditional(Answer(OfrepFlags(flags)), etag(shown, weak=True), call.headers)


def _read(call: Call, placements: tuple[str, ...]) -> RawDecideRequest | OfrepProblem:
    """The request as one to decide. What is no request fact of the vocabulary is left out of the context."""
    context = dict(call.read(_request).context)
    session_id, customer_id = context.pop(TARGETING_KEY, None), context.pop(CUSTOMER, UNSET)
    if session_id is None or session_id == "":
        return OfrepProblem("TARGETING_KEY_MISSING", "context.targetingKey is the id of the session.")
    try:
        return msgspec.convert(
            {"session_id": session_id, "placements": placements, "context": context}
            | ({} if isinstance(customer_id, UnsetType) else {"customer_id": customer_id}),
            RawDecideRequest,
        )
    except msgspec.ValidationError as error:
        return OfrepProblem("INVALID_CONTEXT", f"{str(error)[:200]}.")


def _flag(answer: DecideAnswer, placed: PlacementAnswer, decision_id: str) -> OfrepFlag:
    outcome = placed.outcome or Outcome.NO_MATCH
    metadata: dict[str, str | int | bool] = {"outcome": outcome, "revision": answer.revision}
    if decision_id:
        metadata["decision_id"] = decision_id
    tokens = [offer.token for offer in placed.offers if offer.token]
    if tokens:
        metadata["tokens"] = " ".join(tokens)
    if answer.degraded:
        metadata["degraded"] = " ".join(each.code for each in answer.degraded)
    contents = [offer.content for offer in placed.offers]
    value: object = UNSET if not contents else contents[0] if len(contents) == 1 else contents
    variant = "+".join(offer.offer for offer in placed.offers) or None
    return OfrepFlag(placed.placement, REASONS[outcome], variant, metadata, value)


_COMMON = ("no-ruleset",)

ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/ofrep/v1/evaluate/flags/{flag}",
        "evaluateFlag",
        "Evaluate one placement for OpenFeature.",
        post_flag,
        {
            200: (OfrepFlag, "What it shows."),
            400: (OfrepProblem, "The context does not fit."),
            404: (OfrepProblem, "There is no such placement."),
        },
        scope=Scope.DECIDE,
        request=(OfrepRequest,),
        parameters=(Parameter("flag", "path", "The placement.", required=True), IDEMPOTENCY_KEY),
        problems=_COMMON,
    ),
    Endpoint(
        "POST",
        "/ofrep/v1/evaluate/flags",
        "evaluateFlags",
        "Evaluate every placement for OpenFeature.",
        post_flags,
        {
            200: (OfrepFlags, "What all of them show."),
            304: (None, "What they show is what `If-None-Match` names."),
            400: (OfrepProblem, "The context does not fit."),
        },
        scope=Scope.DECIDE,
        request=(OfrepRequest,),
        parameters=(Parameter("If-None-Match", "header", "The ETag of an answer that you have."), IDEMPOTENCY_KEY),
        problems=_COMMON,
    ),
)
