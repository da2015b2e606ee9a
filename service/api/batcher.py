"""Asks models for all requests that wait, in one call of the model, in a thread beside the event loop."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.activation import ScoreAnswer, ScoreStatus
from service.api.breaker import Breaker

Vector = NDArray[np.float32]
LARGEST_BATCH = 256
"""Rows of one call: what comes later does not wait for more than one such call."""


class Asked(Protocol):
    """What the batcher needs of `models.scorer.Scorer`."""

    def ask(self, score: str, vectors: Sequence[Vector]) -> list[ScoreAnswer]:
        """The answers for several sessions in one call, in order. Never raises."""


class Batcher:
    """Collects what the requests of the moment ask, per scorer and score; one thread answers.

    While the thread works on one batch the next one grows: under load batches get larger, at rest nobody waits.
    """

    def __init__(self, breaker: Breaker) -> None:
        self._breaker = breaker
        self._waiting: dict[tuple[Asked, str], list[tuple[Vector, asyncio.Future[ScoreAnswer]]]] = defaultdict(list)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="models")
        self._task: asyncio.Task[None] | None = None

    async def ask(
        self, scorer: Asked, wanted: Mapping[str, Vector], within_s: Mapping[str, float], left_s: float
    ) -> dict[str, ScoreAnswer]:
        """The answers by score, DEADLINE for one that does not come in time.

        Args:
            scorer: Of the revision that decides.
            wanted: The vectors, float32 (n_features,), by score.
            within_s: Each model's own deadline, in seconds.
            left_s: What is left of the request, in seconds; a model is not blamed where that is what was short.
        """
        if not self._breaker.allows():
            return dict.fromkeys(wanted, ScoreAnswer(ScoreStatus.ERROR))
        loop = asyncio.get_running_loop()
        coming: dict[str, asyncio.Future[ScoreAnswer]] = {}
        for score, vector in wanted.items():
            future: asyncio.Future[ScoreAnswer] = loop.create_future()
            self._waiting[scorer, score].append((vector, future))
            coming[score] = future
        if self._task is None or self._task.done():
            self._task = loop.create_task(self._answer_all())
        started = loop.time()
        answers: dict[str, ScoreAnswer] = {}
        try:
            for score, future in coming.items():
                left = started + min(within_s[score], left_s) - loop.time()
                if not future.done():
                    await asyncio.wait((future,), timeout=max(left, 0.0))
                answers[score] = future.result() if future.done() else ScoreAnswer(ScoreStatus.DEADLINE)
        finally:
            for future in coming.values():
                future.cancel()
        statuses = {answer.status for answer in answers.values()}
        if ScoreStatus.ERROR in statuses or (ScoreStatus.DEADLINE in statuses and left_s >= max(within_s.values())):
            self._breaker.failed()
        elif ScoreStatus.DEADLINE in statuses:
            self._breaker.abandoned()
        else:
            self._breaker.succeeded()
        return answers

    async def close(self) -> None:
        """Let the running call end."""
        if self._task is not None:
            self._task.cancel()
        await asyncio.to_thread(self._thread.shutdown, cancel_futures=True)

    async def _answer_all(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(0)  # let the other requests of this turn of the loop join
        while self._waiting:
            (scorer, score), asked = next(iter(self._waiting.items()))
            batch, rest = asked[:LARGEST_BATCH], asked[LARGEST_BATCH:]
            del self._waiting[scorer, score]
            if rest:
                self._waiting[scorer, score] = rest  # at the end: every score gets its turn
            batch = [(vector, future) for vector, future in batch if not future.done()]
            if not batch:
                continue
            answers = await loop.run_in_executor(self._thread, scorer.ask, score, [vector for vector, _ in batch])
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)
