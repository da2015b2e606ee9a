"""The bound on requests in flight: all of it while the event loop keeps up, less while it does not."""

import asyncio
import time

import msgspec

from service.api.room import BEAT_S, BEATS, LEAST, Room
from tests.unit.service.api.shop import SETTINGS, Shop

LATE_S = 0.25 * 0.2  # a quarter of the deadline of 200 ms


def look(room, late_s, times=BEATS):
    for _ in range(times):
        room.looked(late_s)
    return room.now


def test_a_loop_that_keeps_up_and_a_single_stall_leave_all_the_room():
    room = Room(128, 200)
    assert look(room, 0.0) == 128
    for late in (0.001, 0.5, 0.001, 0.2, 0.03):
        room.looked(late)
    assert room.now == 128


def test_late_again_and_again_it_shrinks_in_proportion_and_never_to_nothing():
    room = Room(128, 200)
    assert look(room, 2 * LATE_S) == 64
    assert look(room, 100 * LATE_S) == 16
    assert look(room, 100 * LATE_S, 20) == LEAST
    assert look(Room(3, 200), 1.0, 20) == 3


def test_when_the_loop_keeps_up_again_it_grows_back_within_two_seconds():
    room = Room(128, 200)
    look(room, 10.0, 20)
    assert room.now == LEAST
    assert look(room, 0.0, int(2 / BEAT_S)) == 128


def test_there_is_room_for_what_a_quarter_of_the_deadline_computes_by_the_cost_of_late():
    room = Room(128, 200)
    room.spent(0.0005, 1)
    assert room.now == 100
    for _ in range(20):
        room.spent(0.04, 10)
    assert room.now == 12, "4 ms each"
    for _ in range(20):
        room.spent(1.0, 10)
    assert room.now == LEAST
    room.spent(5.0, 0)
    for _ in range(20):
        room.spent(0.001, 10)
    assert room.now == 128, "one that costs little has all the room again"


def test_a_loop_that_stands_still_again_and_again_is_noticed():
    async def busy():
        room = Room(128, 200)
        watching = asyncio.create_task(room.watch(lambda: 0))
        for _ in range(8):
            await asyncio.sleep(0)
            time.sleep(4 * LATE_S)  # noqa: ASYNC251  what stands still here is what is looked for
        watching.cancel()
        return room.now

    assert asyncio.run(busy()) < 128


def test_what_is_refused_for_want_of_room_keeps_its_connection():
    """A new connection costs more than the body that was not looked at; only a large one is left unread."""
    shop = Shop(msgspec.structs.replace(SETTINGS, max_in_flight=0))
    asked = {"session_id": "s1", "placements": ["banner"]}
    small = shop.post("/v1/decide", asked, key="page")
    assert (small.status_code, "connection" in small.headers) == (503, False)
    large = shop.post("/v1/decide", asked | {"context": {"x": "x" * 20_000}}, key="page")
    assert (large.status_code, large.headers["connection"]) == (503, "close")
