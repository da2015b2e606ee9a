"""What endpoints work with; made once for each process."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from config.schema import ApiSettings
from engine.facts import FactStore
from engine.ports import DecisionLog, DecisionState, EventLog, PortError, SessionView
from engine.values import Millis
from service.api.accepted import Accepted
from service.api.admission import Admission
from service.api.batcher import Batcher
from service.api.breaker import Breaker
from service.api.evaluated import Evaluations
from service.api.forced_rules import ForcedRules
from service.api.metrics import Metrics
from service.api.problems import ProblemError
from service.api.recorder import Recorder
from service.api.rules import LiveRules, Rules
from service.api.stale import Lately
from service.clock import Clock
from service.keys import KeyRing

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True)
class Services:
    """Ports, rules and machinery of one process.

    Attributes:
        salt: Of the installation's holdouts; None: nobody is held out.
        preview_secret: Signs previews; None: none can be checked.
        score_ms: The setting models.deadline_ms.
        lately: What was read of sessions, for when the state store is away.
        accepted: Events that the stream may not have come to.
        evaluations: What was evaluated and still holds.
        profile_log: The topic of profiles, connected when it is needed; None: there is none.
        asks_crm: Whether the workers ask a CRM for customers: one without a profile was not answered for yet.
        slow: Runs calls of synchronous stores that no decision waits for.
    """

    settings: ApiSettings
    admission: Admission
    clock: Clock
    rules: LiveRules
    events: EventLog
    state: DecisionState
    decisions: DecisionLog
    profiles: FactStore
    keys: KeyRing
    recorder: Recorder
    batcher: Batcher
    state_breaker: Breaker
    limits_breaker: Breaker
    log_breaker: Breaker
    lately: Lately[SessionView]
    accepted: Accepted
    evaluations: Evaluations
    metrics: Metrics
    slow: Executor
    salt: str | None
    preview_secret: bytes | None
    forced_rules: ForcedRules
    score_ms: Millis
    asks_crm: bool = False
    profile_log: Callable[[], EventLog] | None = None

    def live(self) -> Rules:
        """The live rules, or a problem for endpoints that can do nothing without."""
        rules = self.rules.current
        if rules is None:
            reason = self.rules.holder.problem or "nothing was published yet"
            raise ProblemError("no-ruleset", f"No ruleset is live: {reason}.", retry_after=2)
        return rules

    async def in_thread(self, call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call a synchronous store beside the event loop; its failure is the problem `store-unavailable`."""
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self.slow, lambda: call(*args, **kwargs))
        except PortError as error:
            raise ProblemError("store-unavailable", f"{error}.", retry_after=1) from error
