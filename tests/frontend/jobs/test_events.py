import asyncio
from contextlib import aclosing

import numpy as np
import pytest

from frontend.generators.generator import Preview
from frontend.jobs.events import MAX_BACKLOG, Broadcast, Ended, JobEvent, PartEvent, PartPreview, Queued
from frontend.jobs.state import Job
from protocol.events import Progress
from tests.frontend.jobs.specs import completed, video_spec
from tests.waiting import SECONDS

ENDED = Ended(completed(video_spec()))


def step(done: int, part: int = 0) -> PartEvent:
    return PartEvent(part, Progress(steps_done=done, steps=100, frames_done=0, frames=9))


def preview(step: int, part: int = 0) -> PartPreview:
    return PartPreview(part, Preview(np.zeros((1, 1, 3), np.uint8), step, 100))


async def heard(broadcast: Broadcast, previews: bool = False) -> list[JobEvent]:
    async with aclosing(broadcast.listen(previews=previews)) as events:
        return [event async for event in events]


async def listening(broadcast: Broadcast, previews: bool = False) -> asyncio.Task[list[JobEvent]]:
    """A listener that is there."""
    task = asyncio.create_task(heard(broadcast, previews))
    await asyncio.sleep(0)
    return task


async def test_every_listener_hears_all_in_order_to_the_end() -> None:
    broadcast = Broadcast()
    events: list[JobEvent] = [Queued(), step(1), step(2), ENDED]
    listeners = [await listening(broadcast) for _ in range(3)]
    for event in events:
        broadcast.publish(event)
    async with asyncio.timeout(SECONDS):
        assert await asyncio.gather(*listeners) == [events] * 3


async def test_a_late_listener_hears_first_how_far_the_job_is() -> None:
    broadcast = Broadcast()
    for event in (Queued(), step(1), step(2), step(1, part=1)):
        broadcast.publish(event)
    listener = await listening(broadcast)
    broadcast.publish(step(3))
    broadcast.publish(ENDED)
    async with asyncio.timeout(SECONDS):
        assert await listener == [Queued(), step(2), step(1, part=1), step(3), ENDED]


async def test_one_that_comes_after_the_end_hears_the_end() -> None:
    broadcast = Broadcast()
    for event in (Queued(), step(1), ENDED):
        broadcast.publish(event)
    async with asyncio.timeout(SECONDS):
        assert await heard(broadcast) == [ENDED]


async def test_a_slow_listener_misses_the_oldest_and_never_the_end() -> None:
    broadcast = Broadcast()
    listener = await listening(broadcast)
    for done in range(100):
        broadcast.publish(step(done))
    broadcast.publish(ENDED)
    async with asyncio.timeout(SECONDS):
        assert await listener == [step(done) for done in range(101 - MAX_BACKLOG, 100)] + [ENDED]


async def test_previews_are_for_those_who_ask() -> None:
    broadcast = Broadcast()
    asks, does_not = await listening(broadcast, previews=True), await listening(broadcast)
    seen = preview(1)
    for event in (step(1), seen, step(2), ENDED):
        broadcast.publish(event)
    async with asyncio.timeout(SECONDS):
        assert await asks == [step(1), seen, step(2), ENDED]
        assert await does_not == [step(1), step(2), ENDED]


async def test_a_late_listener_sees_the_latest_preview_of_each_part() -> None:
    broadcast = Broadcast()
    shown = [preview(1), preview(2), preview(1, part=1)]
    events: list[JobEvent] = [Queued(), step(1), *shown]
    for event in events:
        broadcast.publish(event)
    late, uninterested = await listening(broadcast, previews=True), await listening(broadcast)
    broadcast.publish(ENDED)
    async with asyncio.timeout(SECONDS):
        assert await late == [Queued(), step(1), *shown[1:], ENDED]
        assert await uninterested == [Queued(), step(1), ENDED]


async def test_a_slow_listener_misses_old_previews_before_it_misses_progress() -> None:
    broadcast = Broadcast()
    listener = await listening(broadcast, previews=True)
    steps = [step(done) for done in range(MAX_BACKLOG - 2)]
    shown = [preview(done) for done in range(9)]
    events: list[JobEvent] = [*shown[:5], *steps, *shown[5:]]
    for event in events:
        broadcast.publish(event)
    broadcast.publish(ENDED)
    async with asyncio.timeout(SECONDS):
        assert await listener == [*steps, shown[-1], ENDED]


async def test_one_that_stops_listening_disturbs_nobody() -> None:
    broadcast = Broadcast()
    stays, leaves = await listening(broadcast), await listening(broadcast)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    broadcast.publish(ENDED)
    async with asyncio.timeout(SECONDS):
        assert await stays == [ENDED]


def test_the_end_says_how_it_ended() -> None:
    job = Job(spec=video_spec())
    assert Ended(job.with_state(job.state.cancelled(1.0))).job.state.status == "cancelled"
