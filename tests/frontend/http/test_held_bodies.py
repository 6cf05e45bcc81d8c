import asyncio

import pytest

from frontend.errors import TooManyUploads
from frontend.http.held_bodies import HeldBodies
from tests.waiting import SECONDS

KIB = 1024
MIB = 1024 * KIB


async def read(bodies: HeldBodies, num_bytes: int, done: asyncio.Event, piece: int = 64 * KIB) -> str:
    """Read a body piece by piece, keep it until `done`, and tell how it went."""
    body = bodies.begin(num_bytes)
    try:
        for _ in range(0, num_bytes, piece):
            await body.wait_for_room()
            body.add(piece)
            await asyncio.sleep(0)
        await done.wait()
        return "read"
    except TooManyUploads:
        return "refused"
    finally:
        body.release()


async def test_a_body_waits_until_another_is_done_with() -> None:
    bodies = HeldBodies(MIB, wait_seconds=20)
    first_done, second_done = asyncio.Event(), asyncio.Event()
    first = asyncio.create_task(read(bodies, 2 * MIB - MIB // 2, first_done))
    second = asyncio.create_task(read(bodies, MIB, second_done))
    await asyncio.sleep(0.05)
    second_done.set()
    await asyncio.sleep(0.05)
    assert not second.done()
    first.cancel()
    assert await asyncio.wait_for(second, 5) == "read"


async def test_it_is_refused_where_nothing_becomes_free() -> None:
    bodies = HeldBodies(MIB, wait_seconds=0.1)
    done = asyncio.Event()
    first = asyncio.create_task(read(bodies, MIB + 64 * KIB, done))
    await asyncio.sleep(0.05)
    assert await asyncio.wait_for(read(bodies, MIB, done), 5) == "refused"
    done.set()
    assert await first == "read"


async def test_a_small_body_passes_when_all_is_full() -> None:
    bodies = HeldBodies(MIB, wait_seconds=20)
    done = asyncio.Event()
    first = asyncio.create_task(read(bodies, MIB + 64 * KIB, done))
    await asyncio.sleep(0.05)
    small = asyncio.create_task(read(bodies, 64 * KIB, done))
    await asyncio.sleep(0.05)
    done.set()
    assert await asyncio.wait_for(small, 5) == "read"
    assert await first == "read"


async def test_of_many_at_the_same_time_as_many_as_fit_are_read() -> None:
    bodies = HeldBodies(8 * MIB, wait_seconds=0.1)
    done = asyncio.Event()
    reads = [asyncio.create_task(read(bodies, MIB, done)) for _ in range(20)]
    async with asyncio.timeout(SECONDS):
        while sum(task.done() for task in reads) < 12:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert sum(task.done() for task in reads) == 12
    assert all(task.done() for task in reads[-12:]), "the last to come are refused"
    done.set()
    assert [await task for task in reads] == ["read"] * 8 + ["refused"] * 12


async def test_no_more_are_refused_than_others_need_when_all_have_waited_as_long() -> None:
    bodies = HeldBodies(2 * MIB, wait_seconds=0.05)

    async def wait(num_bytes: int) -> str:
        body = bodies.begin(MIB)
        body.add(num_bytes)
        await asyncio.sleep(0)  # until all have arrived
        try:
            await body.wait_for_room()
        except TooManyUploads:
            return "refused"
        finally:
            body.release()
        return "read"

    assert await asyncio.gather(*(wait(MIB * 3 // 4) for _ in range(3))) == ["read", "read", "refused"]


async def test_all_of_it_is_given_back() -> None:
    bodies = HeldBodies(MIB, wait_seconds=0.05)
    done = asyncio.Event()
    done.set()
    for _ in range(20):
        assert await read(bodies, MIB + 64 * KIB, done) == "read"


async def test_releasing_twice_frees_once() -> None:
    bodies = HeldBodies(MIB, wait_seconds=0.05)
    body = bodies.begin(MIB)
    body.add(MIB)
    body.release()
    body.release()
    done = asyncio.Event()
    full = asyncio.create_task(read(bodies, MIB + 64 * KIB, done))
    await asyncio.sleep(0.05)
    assert await read(bodies, MIB, done) == "refused"
    full.cancel()


async def test_a_waiting_body_can_be_cancelled() -> None:
    bodies = HeldBodies(MIB, wait_seconds=20)
    done = asyncio.Event()
    first = asyncio.create_task(read(bodies, MIB + 64 * KIB, done))
    await asyncio.sleep(0.05)
    second = asyncio.create_task(read(bodies, MIB, done))
    await asyncio.sleep(0.05)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    done.set()
    assert await first == "read"
    assert await read(bodies, MIB, done) == "read"
