"""Calls within a deadline: all watched by one timer, each cancelled at its own moment and by nobody else's."""

from __future__ import annotations

import asyncio
import time

import pytest

from engine.ports import PortError
from service.api.breaker import Breaker
from service.api.deadline import Deadline, UnavailableError


async def spent(
    deadline_ms: int, work: asyncio.Future[str] | None = None, *, reserve_s: float = 0.0
) -> tuple[str, float]:
    """What a call that waits for `work` (None: for ever) comes to, and its ms."""
    deadline = Deadline(deadline_ms)
    breaker = Breaker("the store", time.monotonic)
    began = time.monotonic()

    async def call() -> str:
        return await (work if work is not None else asyncio.get_running_loop().create_future())

    try:
        outcome = await deadline.call(breaker, call(), reserve_s)
    except UnavailableError as error:
        outcome = str(error)
    return outcome, 1000 * (time.monotonic() - began)


LATE = "the store did not answer in time"


def test_each_call_ends_at_its_own_moment_whatever_the_order_in_which_they_began():
    async def all_of_them():
        return await asyncio.gather(*(spent(each) for each in (240, 30, 120)))

    found = asyncio.run(all_of_them())
    assert [outcome for outcome, _ in found] == [LATE] * 3
    last, first, middle = (ms for _, ms in found)
    assert 30 <= first < middle < last
    assert middle >= 120
    assert last >= 240


def test_what_comes_in_time_is_given_and_ends_nothing_of_who_waits_on():
    async def both():
        work: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_later(0.02, work.set_result, "here")
        return await asyncio.gather(spent(60, work), spent(150, reserve_s=0.05))

    (here, early), (late, ms) = asyncio.run(both())
    assert (here, late) == ("here", LATE)
    assert early < ms
    assert ms >= 100


def test_a_moment_that_has_passed_ends_a_call_at_its_first_wait():
    async def one():
        return await spent(5, reserve_s=1.0)

    assert asyncio.run(one())[0] == LATE


def test_a_call_that_its_caller_cancels_is_cancelled_and_not_late():
    async def cancelled():
        task = asyncio.create_task(spent(5_000))
        await asyncio.sleep(0.01)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())


def test_a_store_that_fails_says_why():
    async def failing():
        work: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        work.set_exception(PortError("it burns"))
        return await spent(50, work)

    assert asyncio.run(failing())[0] == "the store failed: it burns"
