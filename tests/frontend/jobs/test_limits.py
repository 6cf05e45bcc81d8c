"""Who may create a job, and whose is the next to run: in the table alone, and through the service."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from frontend.errors import TooManyJobs
from frontend.jobs.limits import TURNS, JobLimits, Priority, next_turn, turns_of
from frontend.jobs.state import Job
from frontend.jobs.table import JobTable
from frontend.settings import Settings
from protocol.errors import QueueFull
from tests.frontend.jobs.job_server import JobServer, named
from tests.frontend.jobs.specs import hosted_spec, video_spec
from tests.waiting import until


def made(table: JobTable, job_id: str, owner: str | None, limits: JobLimits) -> Job:
    return table.create(Job(spec=video_spec(job_id=job_id), owner=owner), limits)


def sent(table: JobTable, names: str, priority: Priority = "normal") -> list[Job]:
    """Jobs whose owner is the letter that their names begin with."""
    return [made(table, name, name[0], JobLimits(priority=priority)) for name in names.split()]


def in_order(jobs: list[Job]) -> str:
    return " ".join(job.spec.id for job in sorted(jobs, key=lambda job: (job.turn, job.spec.id)))


def test_turns_of_all_priorities_are_what_dbos_takes() -> None:
    for priority, first in (("high", 1), ("normal", TURNS + 1), ("low", 2 * TURNS + 1)):
        turns = turns_of(priority)  # type: ignore[arg-type]
        assert turns.start == first
        assert turns.stop <= 2**31
        assert next_turn(turns, turns.stop - 1, turns.stop - 1) == turns.stop - 1


def test_owners_take_turns_whatever_each_has_sent(table: JobTable) -> None:
    assert in_order(sent(table, "a1 a2 a3 a4 b1 b2 c1")) == "a1 b1 c1 a2 b2 a3 a4"


def test_who_comes_late_is_neither_before_nor_far_behind(table: JobTable) -> None:
    jobs = sent(table, "a1 a2 a3 a4 a5")
    for job in jobs[:3]:
        table.claim(job.spec.id)
    assert in_order(jobs[3:] + sent(table, "b1 b2")) == "a4 b1 a5 b2"


def test_priorities_come_first(table: JobTable) -> None:
    jobs = sent(table, "a1 a2") + sent(table, "b1", "low") + sent(table, "c1 c2", "high")
    assert in_order(jobs) == "c1 c2 a1 a2 b1"
    assert table.queued_before(jobs[2]) == 4


def test_no_more_than_so_many_wait(table: JobTable) -> None:
    limits = JobLimits(max_waiting=2)
    first, _ = (made(table, name, name, limits) for name in "ab")
    with pytest.raises(QueueFull, match="The queue is full: 2 jobs wait, and 2 may"):
        made(table, "c", "c", limits)
    table.claim(first.spec.id)
    made(table, "c", "c", limits)


def test_an_owner_has_no_more_than_its_number_of_unfinished_jobs(table: JobTable) -> None:
    limits = JobLimits(max_jobs=2)
    first, _ = (made(table, name, "ann", limits) for name in "ab")
    table.claim(first.spec.id)
    with pytest.raises(TooManyJobs, match=r"The key ann has 2 unfinished jobs, and may have 2: .* 1 jobs wait"):
        made(table, "c", "ann", limits)
    made(table, "d", "ben", limits)
    assert table.end("a", first.state.cancelled(1.0))
    made(table, "c", "ann", limits)


def test_creates_of_the_same_moment_exceed_no_limit(table: JobTable) -> None:
    url = table._engine.url
    if url.database is None:
        pytest.skip("a table in memory has one thread")
    limits = JobLimits(max_jobs=3)
    frontends = [table] if url.get_backend_name() == "sqlite" else [table, JobTable(url)]

    def create(number: int) -> bool:
        try:
            made(frontends[number % len(frontends)], str(number), "ann", limits)
        except TooManyJobs:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(create, range(24))) == 3
    for other in frontends[1:]:
        other.close()


def test_a_new_job_begins_at_once_only_where_none_comes_before_it(table: JobTable) -> None:
    begun = Job(spec=video_spec(job_id="a"), owner="a", fence=1)
    assert table.create(begun).fence == 1
    sent(table, "b")
    assert table.create(begun.model_copy(update={"spec": video_spec(job_id="c")})).fence == 0
    urgent = begun.model_copy(update={"spec": video_spec(job_id="d")})
    assert table.create(urgent, JobLimits(priority="high")).fence == 1


def test_jobs_of_hosted_providers_wait_for_nobody_else(table: JobTable) -> None:
    sent(table, "a1 a2 b1")
    hosted = Job(spec=hosted_spec(job_id="h1"), fence=1)
    first = table.create(hosted)
    assert (first.fence, table.queued_before(first)) == (1, 0)
    waits = table.create(Job(spec=hosted_spec(job_id="h2")))
    assert table.queued_before(waits) == 1
    late = table.create(Job(spec=video_spec(job_id="c")), JobLimits(priority="low"))
    assert table.queued_before(late) == 3


@pytest.fixture(params=["memory", "sqlite"])
def server(request: pytest.FixtureRequest, storage_folder: Path) -> JobServer:
    url = None if request.param == "memory" else request.getfixturevalue("sqlite_url")
    server = JobServer(url, storage_folder)
    server.settings = Settings(jobs=url, max_running_jobs=1)
    return server


async def test_jobs_run_in_turns_of_their_owners(server: JobServer) -> None:
    server.generator.step_gate.clear()
    async with server.started() as jobs:
        for name in ["a0", "a1", "a2", "a3", "b1", "b2"]:
            await jobs.submit(named(name), owner=name[0])
        await jobs.submit(named("c1"), owner="c", limits=JobLimits(priority="high"))
        await until(lambda: len(jobs._worker.places._waiting) == 6)
        server.generator.step_gate.set()
        await asyncio.gather(*(jobs.wait(name) for name in ["a1", "a2", "a3", "b1", "b2", "c1"]))
    assert list(server.generator.jobs) == ["a0", "c1", "a1", "b1", "a2", "b2", "a3"]


@pytest.mark.slow
async def test_the_shared_queue_keeps_the_turns(postgres_database: str, storage_folder: Path) -> None:
    server = JobServer(postgres_database, storage_folder)
    server.settings = Settings(jobs=postgres_database, max_running_jobs=1)
    server.generator.step_gate.clear()
    async with server.started() as jobs:
        for name in ("a0", "a1", "a2", "a3", "b1", "b2", "b3"):
            await jobs.submit(named(name), owner=name[0])
        await jobs.submit(named("c1"), owner="c", limits=JobLimits(priority="high"))
        await until(lambda: not jobs._worker._entries and len(jobs._worker.places._waiting) == 1)
        server.generator.step_gate.set()
        await asyncio.gather(*(jobs.wait(name) for name in ("a1", "a2", "a3", "b1", "b2", "b3", "c1")))
    _, called, *others = server.generator.jobs  # `called` was it before the others were in the queue
    assert others == [name for name in ("c1", "a1", "b1", "a2", "b2", "a3", "b3") if name != called]


async def test_the_order_outlives_a_restart(server: JobServer) -> None:
    if server.settings.jobs is None:
        pytest.skip("jobs in memory do not outlive one")
    server.generator.step_gate.clear()
    async with server.started() as jobs:
        for name in ["a0", "a1", "a2", "b1"]:
            await jobs.submit(named(name), owner=name[0])
        await until(lambda: len(jobs._worker.places._waiting) == 3)
    server.generator.jobs.clear()
    async with server.started() as jobs:
        await until(lambda: len(jobs._worker.places._waiting) == 3)
        server.generator.step_gate.set()
        await asyncio.gather(*(jobs.wait(name) for name in ["a0", "a1", "a2", "b1"]))
    _, *others = server.generator.jobs  # the first one was the first that the queue called for
    assert others == [name for name in ("a0", "a1", "b1", "a2") if name in others]


async def test_a_refused_job_takes_no_place(server: JobServer) -> None:
    server.generator.step_gate.clear()
    limits = JobLimits(max_jobs=1)
    async with server.started() as jobs:
        await jobs.submit(named("a"), owner="ann", limits=limits)
        for refused in (jobs.check("ann", limits), jobs.submit(named("b"), owner="ann", limits=limits)):
            with pytest.raises(TooManyJobs):
                await refused
        assert jobs.running == 1
        server.generator.step_gate.set()
        await jobs.wait("a")
        await until(lambda: jobs.running == 0)
        await jobs.submit(named("b"), owner="ann", limits=limits)
        await jobs.wait("b")
