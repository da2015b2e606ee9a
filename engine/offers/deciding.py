"""A whole decision in one call, for whoever has a limit store at hand that answers at once."""

from __future__ import annotations

from engine.activation import ScoreFunction
from engine.decision import Decision, Request
from engine.language.tree import Program
from engine.offers.arbitration import claims
from engine.offers.candidate import View
from engine.offers.candidates import consider
from engine.offers.conclusion import conclude
from engine.offers.grants import Grants, next_grants
from engine.ports import LimitStore, Verdict
from engine.values import Millis


def decide(
    program: Program,
    view: View,
    request: Request,
    *,
    decision_id: str,
    score: ScoreFunction,
    limits: LimitStore,
    grants: Grants | None = None,
    revision: int = 0,
    bundle: str = "",
    salt: str | None = None,
    profiling: bool = True,
    hold: Millis | None = None,
) -> tuple[Decision, Grants]:
    """Decide, and say what the session is granted from now on: tests beside rules, simulation, the command line.

    The arguments are those of `consider`, `conclude` and `LimitStore.take`; `score` must answer at once. Whatever the
    limit store raises is raised.
    """
    considered = consider(
        program,
        view,
        request,
        decision_id=decision_id,
        score=score,
        grants=grants,
        salt=salt,
        profiling=profiling,
    )
    verdicts: list[Verdict] = []
    while asks := claims(considered, verdicts):
        for ask in asks:
            verdicts += limits.take(ask.claims, ask.slots, view.now, hold)
    decision = conclude(considered, verdicts, revision=revision, bundle=bundle)
    return decision, next_grants(decision, grants or {})
