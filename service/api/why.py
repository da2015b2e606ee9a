"""Why: a decision as it was logged, and a session as its rules stand right now."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from engine.decision import Decision, Request
from service.api.call import Answer, Call, Endpoint, Parameter
from service.api.deadline import Deadline, UnavailableError
from service.api.evaluation import PASSES, Evaluation, ask_wanted
from service.api.handed import Asked
from service.api.problems import ProblemError
from service.api.schema import SessionWhy
from service.api.services import Services
from service.api.session import read_session
from service.keys import Scope
from service.things import Lookup

WHY_MS = 5_000
"""A person asks and waits; there is no storefront behind it that has to move on."""
DECISIONS = 20
"""Of a session, in one answer."""

_decision = msgspec.json.Decoder(Decision).decode


async def get_decision(services: Services, call: Call) -> Answer:
    """A decision by its id."""
    decision_id = call.parameters["decision_id"]
    raw = services.recorder.pending(decision_id)
    if raw is None:
        raw = await services.in_thread(services.decisions.get, decision_id)
    decision = None if raw is None else readable(raw)
    if decision is None:
        raise ProblemError("decision-unknown", f"No decision {decision_id[:60]!r} is kept.", field="decision_id")
    return Answer(decision)


async def get_why(services: Services, call: Call) -> Answer:
    """Every rule for a session, as of now: what holds, what does not, and how far it is from holding."""
    rules = services.live()
    loaded = rules.loaded
    session_id = call.parameters["session_id"]
    deadline = Deadline(WHY_MS)
    context, refused = rules.context.read(
        {name: value for name, value in call.query.items() if name.startswith("context.")}
    )
    if refused:
        raise ProblemError("invalid-field", f"{refused[0].message}.", field=refused[0].field)
    only = call.query.get("rule")
    wanted = [rule for rule in loaded.program.rules if only is None or rule.id == only]
    if not wanted:
        raise ProblemError("rule-unknown", f"The live ruleset has no rule {only!r}.", field="rule")
    try:
        session = await read_session(services, rules, session_id, call.query.get("customer_id", UNSET), deadline)
    except UnavailableError as error:
        raise ProblemError("store-unavailable", f"The session can't be read: {error}.", retry_after=1) from error
    call.timing.mark("state")

    request = Request(session_id, session.customer_id, services.clock(), context, ())
    events = tuple(sorted(session.pending, key=lambda event: event.time))
    evaluation = Evaluation(rules, session, Asked(request, events), Lookup(rules.things, services.clock()))
    for passes_left in reversed(range(PASSES)):
        evaluation.is_last = passes_left == 0
        view = evaluation.view()
        view.holding()  # asks the models that are worth asking; an explanation alone does not
        reports = tuple(view.explain(rule) for rule in wanted)
        if evaluation.is_last or not evaluation.is_wanting:
            break
        await ask_wanted(services, rules, evaluation, deadline)
    call.timing.mark("rules")
    raws = await services.in_thread(services.decisions.of_session, session_id, DECISIONS)
    call.timing.mark("log")
    decisions = tuple(decision for decision in map(readable, raws) if decision is not None)
    why = SessionWhy(
        session_id=session_id,
        customer_id=session.customer_id,
        time=view.now,
        known=session.snapshot is not None,
        revision=loaded.revision.number,
        bundle=loaded.revision.bundle,
        rules=reports,
        failures=view.failures,
        scores=view.scores,
        valid_until=view.valid_until(),
        decisions=decisions,
    )
    return Answer(why)


def readable(raw: bytes) -> Decision | None:
    """A decision of the log; None for an exposure, or for what another version wrote."""
    try:
        return _decision(raw)
    except msgspec.MsgspecError:
        return None


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/v1/decisions/{decision_id}",
        "getDecision",
        "Read a decision with its reasons, the candidates that lost, and what it was decided by.",
        get_decision,
        {200: (Decision, "The decision as it was made.")},
        scope=Scope.READ,
        parameters=(Parameter("decision_id", "path", "As a decision answered it.", required=True),),
        problems=("decision-unknown", "store-unavailable"),
    ),
    Endpoint(
        "GET",
        "/v1/sessions/{session_id}/why",
        "whySession",
        "Explain every rule for a session, as of now: what holds, what fails, how far it is from holding.",
        get_why,
        {200: (SessionWhy, "All rules with their conditions and actual values, and the latest decisions.")},
        scope=Scope.READ,
        parameters=(
            Parameter("session_id", "path", "The session.", required=True),
            Parameter("customer_id", "query", "The customer; default: the one that the session belongs to."),
            Parameter("rule", "query", "Only this rule, by its id (`ruleset.rule`)."),
        ),
        problems=("no-ruleset", "store-unavailable", "invalid-field", "rule-unknown"),
    ),
)
