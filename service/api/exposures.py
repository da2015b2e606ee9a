"""`POST /v1/exposures`: a shopper has really seen it, so what the decision took from limits is taken for good."""

from __future__ import annotations

import secrets

import msgspec

from service.api.call import IDEMPOTENCY_KEY, Answer, Call, Endpoint
from service.api.deadline import Deadline, UnavailableError
from service.api.previewing import is_preview
from service.api.problems import ProblemError
from service.api.schema import Exposure, ExposureAnswer, ExposureRequest
from service.api.services import Services
from service.keys import Scope

CONFIRM_MS = 2_000
"""Nobody waits for the answer, and what is not confirmed is given back: try longer than for a decision."""

_request = msgspec.json.Decoder(ExposureRequest)
_encode = msgspec.json.Encoder().encode


async def post_exposures(services: Services, call: Call) -> Answer:
    """Confirm what was taken."""
    return Answer(await expose(services, call, call.read(_request)))


async def expose(services: Services, call: Call, exposed: ExposureRequest) -> ExposureAnswer:
    """Confirm what was taken, and keep the exposure beside the decision; raises `ProblemError`."""
    if is_preview(exposed.decision_id):
        # A page that exposes what it shows need not know that this was none; nothing was taken, and nothing is kept.
        return ExposureAnswer({token: False for tokens in exposed.placements.values() for token in tokens})
    now = services.clock()
    deadline = Deadline(CONFIRM_MS)
    confirmed: dict[str, bool] = {}
    counts: dict[str, int] = {"exposures": len(exposed.placements)}
    try:
        for token in dict.fromkeys(each for tokens in exposed.placements.values() for each in tokens):
            coming = services.state.confirm(token, now)
            confirmed[token] = await deadline.call(services.limits_breaker, coming, 0.0)
    except UnavailableError as error:
        # Confirming twice is confirming once, so the sender may repeat all of it.
        raise ProblemError("store-unavailable", f"The exposure could not be kept: {error}.", retry_after=1) from error
    call.timing.mark("limits")
    for token, kept in confirmed.items():
        rule = _rule_of(token)
        if kept and rule is not None:
            counts[f"exposed/{rule}"] = counts.get(f"exposed/{rule}", 0) + 1
    exposure = Exposure(
        f"x_{now:012x}{secrets.token_hex(6)}", exposed.decision_id, exposed.session_id, now, exposed.placements
    )
    services.recorder.record((exposure.id, exposed.session_id, now, _encode(exposure)))
    services.recorder.count(now // 60_000, counts)
    return ExposureAnswer(confirmed)


def _rule_of(token: str) -> str | None:
    """Tokens read `<decision>/<placement>/<rule>/<offer>`; only what the store confirmed is counted."""
    parts = token.split("/")
    return parts[2] if len(parts) == 4 else None


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/v1/exposures",
        "sendExposure",
        "Report what a shopper has seen of a decision.",
        post_exposures,
        {200: (ExposureAnswer, "Kept; each token says whether its limits are now taken for good.")},
        parameters=(IDEMPOTENCY_KEY,),
        scope=Scope.DECIDE,
        request=(ExposureRequest,),
        problems=("store-unavailable",),
    ),
)
