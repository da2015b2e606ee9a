"""Profiles with what a CRM says: asked for customers that occur, written to the store, where decisions find it, too."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

import msgspec

from engine.facts import FactChange, FactStore
from engine.ports import PortError
from engine.values import EpochMs, Millis
from service.clock import Clock, wall_ms

logger = logging.getLogger("salience.service.crm")

AGAIN_MS: Millis = 5_000
"""A customer for whom there was no answer is asked for again after so long."""
KEPT = 200_000
"""Customers of whom it is known when they were asked for: some 30 MB."""

_decode = msgspec.json.Decoder(dict[str, object]).decode
_encode = msgspec.json.Encoder(order="deterministic").encode


class Crm(Protocol):
    """What is asked; `connectors.http_crm.HttpCrm` is one."""

    def fetch(self, customers: Sequence[str]) -> Mapping[str, bytes]:
        """Facts as JSON of those for whom an answer came in time. Raises `PortError` where none did."""

    def close(self) -> None:
        """Let go."""


class CrmFacts:
    """`FactStore` of profiles that are completed by a CRM. For one thread.

    What the CRM says of a fact wins over what a topic or a caller of the API said. Where it does not answer, what is stored
    counts, else nothing is known. Profiles are never waited for beyond the CRM's deadline, and a CRM that is gone stops nothing.

    Args:
        store: Of profiles.
        crm: The CRM.
        age_ms: After so long a customer is asked for again.

    Attributes:
        asked: Customers asked for.
        unanswered: Those for whom no answer came.
        withheld: Answers about customers who are forgotten, or deleted by the topic: they were left out.
        problem: Why, of the latest; empty while it answers.
    """

    def __init__(self, store: FactStore, crm: Crm, *, age_ms: Millis, clock: Clock = wall_ms) -> None:
        self._store = store
        self._crm = crm
        self._age_ms = age_ms
        self._clock = clock
        self._next: OrderedDict[str, EpochMs] = OrderedDict()
        self.asked = 0
        self.unanswered = 0
        self.withheld = 0
        self.problem = ""

    def get(self, ids: Sequence[str]) -> Mapping[str, bytes]:
        """What is stored, with what the CRM says of those whose turn it is."""
        found = dict(self._store.get(ids))
        now = self._clock()
        due = [each for each in ids if self._next.get(each, now) <= now]
        if due:
            answers = self._ask(due, now)
            changed = {
                each: merged
                for each, said in answers.items()
                if (merged := _merged(found.get(each), said)) != found.get(each)
            }
            left = self._store.learn(changed)
            self.withheld += len(left)
            found.update((each, merged) for each, merged in changed.items() if each not in left)
        return found

    def put(self, facts: Mapping[str, bytes | None]) -> None:
        """As the store's."""
        self._store.put(facts)

    def forget(self, ids: Sequence[str]) -> None:
        """As the store's."""
        self._store.forget(ids)

    def learn(self, facts: Mapping[str, bytes]) -> Collection[str]:
        """As the store's."""
        return self._store.learn(facts)

    def follow(self, partition: int, begin: int, changes: Sequence[FactChange]) -> int | None:
        """As the store's."""
        return self._store.follow(partition, begin, changes)

    def followed(self) -> Mapping[int, int]:
        """As the store's."""
        return self._store.followed()

    def close(self) -> None:
        """Let go of the CRM; the store is its owner's."""
        self._crm.close()

    def counts(self) -> dict[str, int]:
        """For the heartbeat."""
        return {"crm_asked": self.asked, "crm_unanswered": self.unanswered, "crm_withheld": self.withheld}

    def _ask(self, due: Sequence[str], now: EpochMs) -> Mapping[str, bytes]:
        answers: Mapping[str, bytes] = {}
        problem = ""
        try:
            answers = self._crm.fetch(due)
        except PortError as error:
            problem = str(error)
        if problem and not self.problem:
            logger.warning("profiles are as they are stored: %s", problem)
        elif self.problem and answers:
            logger.info("the CRM answers again")
        self.problem = problem
        self.asked += len(due)
        self.unanswered += len(due) - len(answers)
        for each in due:
            self._next[each] = now + (self._age_ms if each in answers else AGAIN_MS)
            self._next.move_to_end(each)
        while len(self._next) > KEPT:
            self._next.popitem(last=False)
        return answers


def _merged(stored: bytes | None, said: bytes) -> bytes:
    """One JSON object of both; an answer of nothing is kept, too: then it is known that nothing is known."""
    before: Mapping[str, object] = {}
    if stored is not None:
        try:
            before = _decode(stored)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            before = {}
    return _encode({**before, **_decode(said)})
