"""Every port that Redis implements; needs Redis 6.2 or later. Each store's module has the layout of its keys."""

from __future__ import annotations

from connectors.redis_activity import RedisActivity
from connectors.redis_client import RedisAddress
from connectors.redis_decision_state import RedisDecisionState
from connectors.redis_decisions import RedisDecisions, RedisDecisionWriter
from connectors.redis_facts import RedisFacts
from connectors.redis_identities import RedisIdentities
from connectors.redis_limits import RedisLimits
from connectors.redis_state import RedisState
from connectors.redis_tables import RedisTables
from engine.values import Millis


class RedisPorts:
    """Opens ports on one server; each call opens anew, and its caller closes it.

    Opening does not connect: a Redis that is down is noticed, as a `PortError`, by the first call.

    Args:
        url: `redis://host:port/db`, `rediss://` for TLS; see `connectors.redis_client`.
        password: Overrides one in the URL.
        timeout_ms: What a decision waits at most for a connection, and for each answer; it has a deadline to keep.
        patient_ms: What all others wait at most: a worker that gave up a batch would have to begin it again.
        partitions: How many the event log has.
        prefix: Begins every key.
    """

    def __init__(
        self,
        url: str,
        *,
        partitions: int,
        password: str | None = None,
        timeout_ms: Millis = 100,
        patient_ms: Millis = 5_000,
        prefix: str = "salience:",
    ) -> None:
        self._address = RedisAddress(url, password, patient_ms, prefix)
        self._hasty = RedisAddress(url, password, timeout_ms, prefix)
        self._partitions = partitions

    def state(self) -> RedisState:
        """Sessions, offsets, seen ids, outbox."""
        return RedisState(self._address, self._partitions)

    def limits(self) -> RedisLimits:
        """Caps and budgets."""
        return RedisLimits(self._address)

    def profiles(self) -> RedisFacts:
        """Facts of customers."""
        return RedisFacts(self._address, "profile")

    def catalogue(self) -> RedisFacts:
        """Facts of things."""
        return RedisFacts(self._address, "thing")

    def identities(self) -> RedisIdentities:
        """Identities of customers."""
        return RedisIdentities(self._address)

    def decisions(self) -> RedisDecisions:
        """Decisions and exposures."""
        return RedisDecisions(self._address)

    def decision_writer(self) -> RedisDecisionWriter | None:
        """For an event loop; None on a cluster, where an entry's keys lie on several servers."""
        return None if self._address.is_cluster else RedisDecisionWriter(self._address)

    def activity(self) -> RedisActivity:
        """Counters by minute."""
        return RedisActivity(self._address)

    def tables(self) -> RedisTables:
        """Control tables."""
        return RedisTables(self._address)

    def decision_state(self) -> RedisDecisionState:
        """What the decision API reads and takes."""
        return RedisDecisionState(self._hasty, self._partitions)
