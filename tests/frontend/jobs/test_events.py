import asyncio
from contextlib import aclosing

import pytest

from frontend.jobs.events import MAX_BACKLOG, Broadcast, Ended, JobEvent, PartEvent, Queued
from frontend.jobs.state import Job
from protocol.events import Progress
from tests.frontend.jobs.specs import completed, video_spec

ENDED = Ended(completed(video_spec()))


def step(done: int, part: int = 0) -> PartEvent:
    return PartEvent(part, Progress(steps_done=done, steps=100, frames_done=0, frames=9))


async def heard(broadcast: Broadcast) -> list[JobEvent]:
    async with aclosing(broadcast.listen()) as events:
        return [event async for event in events]


async def listening(broadcast: Broadcast) -> asyncio.Task[list[JobEvent]]:
    """A listener that is there."""
    task = asyncio.create_task(heard(broadcast))
    await asyncio.sleep(0)
    return task


async def test_every_listener_hears_all_in_order_to_the_end() -> None:
    broadcast = Broadcast()
    events: list[JobEvent] = [Queued(), step(1), step(2), ENDED]
    listeners = [await listening(broadcast) for _ in range(3)]
    for event in events:
        broadcast.publish(event)
    async with asyncio.timeout(10):
        assert await asyncio.gather(*listeners) == [events] * 3


async def test_a_late_listener_hears_first_how_far_the_job_is() -> None:
    broadcast = Broadcast()
    for event in (Queued(), step(1), step(2), step(1, part=1)):
        broadcast.publish(event)
    listener = await listening(broadcast)
    broadcast.publish(step(3))
    broadcast.publish(ENDED)
    async with asyncio.timeout(10):
        assert await listener == [Queued(), step(2), step(1, part=1), step(3), ENDED]


async def test_one_that_comes_after_the_end_hears_the_end() -> None:
    broadcast = Broadcast()
    for event in (Queued(), step(1), ENDED):
        broadcast.publish(event)
    async with asyncio.timeout(10):
        assert await heard(broadcast) == [ENDED]


async def test_a_slow_listener_misses_the_oldest_and_never_the_end() -> None:
    broadcast = Broadcast()
    listener = await listening(broadcast)
    for done in range(100):
        broadcast.publish(step(done))
    broadcast.publish(ENDED)
    async with asyncio.timeout(10):
        assert await listener == [step(done) for done in range(101 - MAX_BACKLOG, 100)] + [ENDED]


async def test_one_that_stops_listening_disturbs_nobody() -> None:
    broadcast = Broadcast()
    stays, leaves = await listening(broadcast), await listening(broadcast)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    broadcast.publish(ENDED)
    async with asyncio.timeout(10):
        assert await stays == [ENDED]


def test_the_end_says_how_it_ended() -> None:
    job = Job(spec=video_spec())
    assert Ended(job.with_state(job.state.cancelled(1.0))).job.state.status == "cancelled"
