"""`GET /v1/placements/{placement}`: a placement that is the same for everybody, so that caches and edges may keep it.

Public is a placement when nothing of the shopper bears on it: its rules and offers look at the request alone, and take
from no limit and hold nobody out.
"""

from __future__ import annotations

import msgspec

from engine.activation import FactReader, ScoreAnswer, ScoreStatus
from engine.decision import Request
from engine.offers import conclude, consider
from service.api.call import Answer, Call, Endpoint, Parameter
from service.api.conditional import conditional, etag
from service.api.problems import ProblemError
from service.api.schema import PublicAnswer, PublicOffer
from service.api.services import Services
from service.keys import Scope

LONGEST_AGE_S = 60
"""A publication changes the answer, and no cache hears of it: a minute is what a shop waits for anyway."""

_encode = msgspec.json.Encoder(order="deterministic").encode


async def get_placement(services: Services, call: Call) -> Answer:
    """What a public placement shows, with how long it may be kept."""
    rules = services.live()
    loaded = rules.loaded
    name = call.parameters["placement"]
    if name not in loaded.program.vocabulary.placements:
        raise ProblemError("not-found", f"The live ruleset declares no placement {name[:100]!r}.", field="placement")
    if name not in rules.public or services.settings.holdout_percent:
        detail = f"What {name} shows depends on the shopper, or takes from limits: ask with POST /v1/decide."
        raise ProblemError("not-public", detail, field="placement")
    context, refused = rules.context.read(
        {key: value for key, value in call.query.items() if key.startswith("context.")}
    )
    if refused:
        raise ProblemError("invalid-field", f"{refused[0].message}.", field=refused[0].field)
    now = services.clock()
    request = Request("public", None, now, context, (name,))
    view = loaded.network.view(loaded.network.open("public"), now, context, _no_score)
    considered = consider(loaded.program, view, request, decision_id="public", score=_no_score, profiling=False)
    revision = loaded.revision
    decision = conclude(considered, (), revision=revision.number, bundle=revision.bundle)
    (placed,) = decision.placements
    offers = tuple(PublicOffer(each.offer, each.content, each.rule) for each in placed.offers)
    body = _encode(PublicAnswer(name, placed.outcome, offers, revision.number, revision.bundle, placed.valid_until))
    age = LONGEST_AGE_S
    if placed.valid_until is not None:
        age = min(age, max(0, placed.valid_until - now) // 1000)
    cached = (b"cache-control", f"public, max-age={age}".encode() if age and not decision.failures else b"no-cache")
    return conditional(Answer(body, headers=(cached,)), etag(body, weak=False), call.headers)


def _no_score(_name: str, _reader: FactReader) -> ScoreAnswer:
    """Nothing public asks a model; a rule of another placement may."""
    return ScoreAnswer(ScoreStatus.MISSING)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/v1/placements/{placement}",
        "getPlacement",
        "Read what a public placement shows; caches may keep it.",
        get_placement,
        {
            200: (PublicAnswer, "What it shows to everybody. `Cache-Control` says how long; with an ETag."),
            304: (None, "It is what `If-None-Match` names."),
        },
        scope=Scope.DECIDE,
        parameters=(
            Parameter("placement", "path", "The placement.", required=True),
            Parameter("If-None-Match", "header", "The ETag of an answer that you have."),
        ),
        problems=("no-ruleset", "not-found", "not-public", "invalid-field"),
    ),
)
