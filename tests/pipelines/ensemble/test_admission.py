"""Admission: a bounded number of jobs run and wait, first come first served, and no more than memory allows."""

import asyncio
from typing import NoReturn

import pytest

from pipelines.ensemble.admission import MAX_OVERTAKEN, Admission
from pipelines.ensemble.memory import MemoryBudget, MemoryNeed, total
from protocol.errors import Cancelled, InvalidRequest, QueueFull


async def never() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


class Jobs:
    """Jobs that run until released, and the counts that the admission reported."""

    def __init__(self, max_running: int, max_waiting: int, memory_bytes: int | None = None) -> None:
        self.counts: list[tuple[int, int]] = []
        memory = None if memory_bytes is None else MemoryBudget(memory_bytes)
        self.admission = Admission(max_running, max_waiting, lambda *counts: self.counts.append(counts), memory)
        self.started: list[str] = []
        self.release: dict[str, asyncio.Event] = {}
        self.positions: dict[str, list[int | None]] = {}
        """what each was told of its place in the queue"""

    def start(self, name: str, need: MemoryNeed = MemoryNeed()) -> asyncio.Task[None]:  # noqa: B008 (frozen)
        self.release[name] = asyncio.Event()
        return asyncio.create_task(self._run(name, need))

    async def _run(self, name: str, need: MemoryNeed) -> None:
        async with self.admission.place(never, need, self.positions.setdefault(name, []).append):
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


async def test_a_job_that_waits_is_told_how_many_are_before_it() -> None:
    jobs = Jobs(max_running=1, max_waiting=5)
    tasks = [jobs.start(name) for name in "abc"]
    await asyncio.sleep(0.01)
    assert jobs.positions["c"][-1] == 1
    jobs.release["a"].set()
    await asyncio.sleep(0.01)
    assert jobs.positions["b"][-1] is None
    assert jobs.positions["c"][-1] == 0
    for name in "bc":
        jobs.release[name].set()
    await asyncio.gather(*tasks)
    assert jobs.positions["c"][-1] is None


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


# Memory

MIB = 2**20


def need(held: int = 0, **calls: int) -> MemoryNeed:
    """In MiB."""
    return MemoryNeed({model: size * MIB for model, size in calls.items()}, held * MIB)


def test_a_models_process_is_counted_once_and_what_jobs_hold_for_each() -> None:
    small, large = need(5, transformer=10, vae=20), need(7, transformer=100)
    assert total([small, large, small]) == (100 + 20 + 5 + 7 + 5) * MIB
    assert total([]) == 0


async def test_a_job_waits_for_memory_and_smaller_ones_pass() -> None:
    jobs = Jobs(max_running=9, max_waiting=9, memory_bytes=100 * MIB)
    tasks = [jobs.start("a", need(60)), jobs.start("b", need(60)), jobs.start("c", need(30))]
    await asyncio.sleep(0.01)
    assert jobs.started == ["a", "c"]
    assert jobs.counts[-1] == (2, 1)

    jobs.release["a"].set()
    await asyncio.sleep(0.01)
    assert jobs.started == ["a", "c", "b"]
    for name in "bc":
        jobs.release[name].set()
    await asyncio.gather(*tasks)
    assert jobs.counts[-1] == (0, 0)


async def test_a_large_job_is_not_passed_for_ever() -> None:
    jobs = Jobs(max_running=2, max_waiting=99, memory_bytes=100 * MIB)
    tasks = [jobs.start("first", need(10)), jobs.start("large", need(95))]
    small = [f"small {i}" for i in range(MAX_OVERTAKEN + 5)]
    tasks += [jobs.start(name, need(1)) for name in small]
    await asyncio.sleep(0.01)
    for name in small[:MAX_OVERTAKEN]:
        jobs.release[name].set()
        await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert len(jobs.started) == 1 + MAX_OVERTAKEN
    assert "large" not in jobs.started

    jobs.release["first"].set()
    await asyncio.sleep(0.01)
    assert "large" in jobs.started

    for event in jobs.release.values():
        event.set()
    await asyncio.gather(*tasks)


async def test_what_never_fits_is_refused_with_the_numbers() -> None:
    jobs = Jobs(max_running=1, max_waiting=0, memory_bytes=100 * MIB)

    with pytest.raises(InvalidRequest, match=r"about 2,101 MiB .* 100 MiB") as refused:
        await jobs.start("a", need(101, vae=2000))

    assert refused.value.field == "size"
    assert jobs.counts == []


async def test_those_behind_a_large_job_start_when_it_leaves_the_queue() -> None:
    jobs = Jobs(max_running=9, max_waiting=99, memory_bytes=100 * MIB)
    running = jobs.start("running", need(90))
    large = jobs.start("large", need(99))
    passing = [jobs.start(f"small {i}", need(1)) for i in range(MAX_OVERTAKEN)]
    for i in range(MAX_OVERTAKEN):
        jobs.release[f"small {i}"].set()
    await asyncio.gather(*passing)
    held_back = jobs.start("held back", need(1))
    await asyncio.sleep(0.01)
    assert "held back" not in jobs.started

    large.cancel()
    await asyncio.sleep(0.01)

    assert "held back" in jobs.started
    for event in jobs.release.values():
        event.set()
    await asyncio.gather(running, held_back)
