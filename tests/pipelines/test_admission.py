"""Admission: a bounded number of jobs run and wait, first come first served."""

import asyncio
from typing import NoReturn

import pytest

from pipelines.admission import Admission
from pipelines.errors import Cancelled, QueueFull


async def never() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


class Jobs:
    """Jobs that run until released, and the counts that the admission reported."""

    def __init__(self, max_running: int, max_waiting: int) -> None:
        self.counts: list[tuple[int, int]] = []
        self.admission = Admission(max_running, max_waiting, lambda *counts: self.counts.append(counts))
        self.started: list[str] = []
        self.release: dict[str, asyncio.Event] = {}

    def start(self, name: str) -> asyncio.Task[None]:
        self.release[name] = asyncio.Event()
        return asyncio.create_task(self._run(name))

    async def _run(self, name: str) -> None:
        async with self.admission.place(never):
            self.started.append(name)
            await self.release[name].wait()


async def test_jobs_beyond_the_limit_wait_and_start_in_order() -> None:
    jobs = Jobs(max_running=1, max_waiting=5)
    tasks = [jobs.start(name) for name in "abc"]
    await asyncio.sleep(0.01)
    assert jobs.started == ["a"]
    assert jobs.counts[-1] == (1, 2)

    for name in "abc":
        jobs.release[name].set()
        await asyncio.sleep(0.01)
    await asyncio.gather(*tasks)

    assert jobs.started == ["a", "b", "c"]
    assert jobs.counts[-1] == (0, 0)


async def test_one_too_many_is_refused_and_the_others_go_on() -> None:
    jobs = Jobs(max_running=1, max_waiting=1)
    tasks = [jobs.start(name) for name in "ab"]
    await asyncio.sleep(0.01)

    with pytest.raises(QueueFull, match="1 jobs run and 1 wait"):
        await jobs.start("c")

    for name in "ab":
        jobs.release[name].set()
    await asyncio.gather(*tasks)
    assert jobs.started == ["a", "b"]


async def test_a_waiting_job_can_be_ended_and_gives_its_place_in_the_queue_back() -> None:
    jobs = Jobs(max_running=1, max_waiting=1)
    first = jobs.start("a")
    await asyncio.sleep(0.01)

    async def client_leaves() -> NoReturn:
        raise Cancelled("the client went away")

    with pytest.raises(Cancelled):
        async with jobs.admission.place(client_leaves):
            raise AssertionError("must not be admitted")

    assert jobs.counts[-1] == (1, 0)
    second = jobs.start("b")
    await asyncio.sleep(0.01)
    for name in "ab":
        jobs.release[name].set()
    await asyncio.gather(first, second)
    assert jobs.started == ["a", "b"]


async def test_a_task_cancelled_while_it_waits_or_as_its_turn_comes_loses_no_place() -> None:
    jobs = Jobs(max_running=1, max_waiting=3)
    first, second, third = (jobs.start(name) for name in "abc")
    await asyncio.sleep(0.01)

    jobs.release["a"].set()
    await first  # hands its place to "b" ...
    second.cancel()  # ... which is cancelled before it can use it
    await asyncio.sleep(0.01)

    assert "c" in jobs.started
    jobs.release["c"].set()
    await third
    assert jobs.counts[-1] == (0, 0)


async def test_a_job_that_fails_gives_its_place_back() -> None:
    jobs = Jobs(max_running=1, max_waiting=0)

    with pytest.raises(ZeroDivisionError):
        async with jobs.admission.place(never):
            1 / 0  # noqa: B018

    assert jobs.counts[-1] == (0, 0)
