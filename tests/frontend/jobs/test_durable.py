"""Jobs that outlive their service, as the routes see them; on SQLite."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from frontend.errors import EngineUnavailable, VideoNotFound
from frontend.jobs import durable, sweep
from frontend.jobs.durable import DurableJobService
from frontend.jobs.errors import JobsError
from frontend.jobs.events import Ended, PartEvent, Queued
from frontend.jobs.runner import JobRunner
from frontend.jobs.setup import durable_jobs
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import Job
from frontend.metrics import Metrics
from frontend.settings import Settings
from protocol.errors import Cancelled, InvalidRequest, ModelFailed
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.jobs.specs import video_spec


class Server:
    """What a restart leaves, and what it does not."""

    def __init__(self, url: str) -> None:
        self.settings = Settings(jobs=url)
        self.generator = FakeGenerator()
        self.is_stopping = False

    @asynccontextmanager
    async def started(self) -> AsyncIterator[DurableJobService]:
        jobs = self.service()
        await jobs.open()
        try:
            yield jobs
        finally:
            await jobs.close()

    def service(self) -> DurableJobService:
        runner = JobRunner(self.generator, Metrics(), timeout_seconds=60)
        return durable_jobs(self.settings, runner, lambda: self.is_stopping)


@pytest.fixture
def server(sqlite_url: str) -> Server:
    return Server(sqlite_url)


@pytest.fixture
def generator(server: Server) -> FakeGenerator:
    return server.generator


@pytest.fixture
async def jobs(server: Server) -> AsyncIterator[DurableJobService]:
    async with server.started() as jobs:
        yield jobs


def kept(job_id: str = "video_1", **changes: Any) -> JobSpec:
    return video_spec(job_id=job_id, keep=True, request_id=job_id, **changes)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        await asyncio.sleep(0)  # what was begun goes as far as it can
        while not condition():
            await asyncio.sleep(0.01)


def files_of(tmp_path: Path) -> list[str]:
    folder = tmp_path / "jobs.files"
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_a_job_is_made_and_stays(jobs: DurableJobService, tmp_path: Path) -> None:
    await jobs.submit(video_spec(2, keep=True), owner="ann", request_hash="abc")
    finished = await jobs.wait("video_1")
    assert len(finished.files) == 2
    assert finished.job.state.status == "completed"
    assert await jobs.get("video_1") == finished.job
    assert (finished.job.owner, finished.job.request_hash) == ("ann", "abc")
    assert await jobs.content("video_1") == finished.files[0]
    assert (await jobs.wait("video_1")) == finished
    assert files_of(tmp_path) == ["video_1/1-0.mp4", "video_1/1-1.mp4"]


async def test_an_answered_job_that_is_not_to_be_kept_is_gone(jobs: DurableJobService) -> None:
    await jobs.submit(video_spec())
    await jobs.wait("video_1")
    with pytest.raises(VideoNotFound):
        await jobs.get("video_1")


async def test_an_unknown_job_is_not_found(jobs: DurableJobService) -> None:
    for asked in (jobs.get("x"), jobs.content("x"), jobs.wait("x")):
        with pytest.raises(VideoNotFound):
            await asked
    await jobs.cancel("x")


async def test_the_image_that_a_job_starts_from_is_kept_until_its_end(server: Server, tmp_path: Path) -> None:
    server.generator.step_gate.clear()
    image = np.random.default_rng(1).integers(0, 256, (16, 32, 3), np.uint8)
    async with server.started() as jobs:
        await jobs.submit(kept().starting_from(image))
        assert "video_1/input.png" in files_of(tmp_path)
        await until(lambda: "video_1" in server.generator.jobs)
    server.generator.jobs.clear()
    server.generator.step_gate.set()
    async with server.started() as jobs:
        await jobs.wait("video_1")
    received = server.generator.jobs["video_1"].image
    assert received is not None
    np.testing.assert_array_equal(received, image)
    assert files_of(tmp_path) == ["video_1/2-0.mp4"]


async def test_whoever_waits_gets_the_error_itself_and_later_its_like(server: Server, generator: FakeGenerator) -> None:
    error = InvalidRequest("must be odd", "width")
    generator.error_for = lambda params: error
    async with server.started() as jobs:
        await jobs.submit(kept())
        with pytest.raises(InvalidRequest) as raised:
            await jobs.wait("video_1")
        assert raised.value is error
    async with server.started() as jobs:
        assert (await jobs.get("video_1")).state.status == "failed"
        with pytest.raises(InvalidRequest, match="must be odd") as raised:
            await jobs.wait("video_1")
        assert raised.value.field == "width"


async def test_listeners_hear_a_job_that_runs_here_and_the_end_of_one_that_has_ended(
    jobs: DurableJobService, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    await jobs.submit(kept())
    await until(lambda: "video_1" in generator.jobs)
    async with asyncio.timeout(20), aclosing(jobs.listen("video_1")) as events:
        heard = [await anext(events), await anext(events)]
        generator.step_gate.set()
        heard += [event async for event in events]
    assert isinstance(heard[0], Queued)
    assert isinstance(heard[1], PartEvent)
    assert heard[-1] == Ended(await jobs.get("video_1"))
    assert [event async for event in jobs.listen("video_1")] == [heard[-1]]


# Restarts


async def test_jobs_that_run_and_jobs_that_wait_go_on_after_a_restart(sqlite_url: str) -> None:
    server = Server(sqlite_url)
    server.settings = Settings(jobs=sqlite_url, max_running_jobs=2)
    server.generator.step_gate.clear()
    ids = [f"video_{number}" for number in range(5)]
    async with server.started() as jobs:
        for job_id in ids:
            await jobs.submit(kept(job_id))
        await until(lambda: len(server.generator.jobs) == 2)
    assert sorted(server.generator.cancelled) == sorted(server.generator.jobs)
    server.generator.step_gate.set()
    async with server.started() as jobs:
        finished = [await jobs.wait(job_id) for job_id in ids]
    assert [one.job.spec.id for one in finished] == ids


async def test_a_job_is_where_it_was_after_a_restart(server: Server, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    async with server.started() as jobs:
        await jobs.submit(kept())
        await until(lambda: "video_1" in generator.jobs)
        before = (await jobs.get("video_1")).state
        assert (before.status, before.progress) == ("in_progress", 45)
    async with server.started() as jobs:
        assert (await jobs.get("video_1")).state == before
        generator.step_gate.set()
        assert (await jobs.wait("video_1")).job.state.started_at == before.started_at


async def test_clients_that_a_stopping_server_sends_away_lose_no_job(server: Server, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    async with server.started() as jobs:
        await jobs.submit(kept())
        waiting = asyncio.create_task(jobs.wait("video_1"))
        await until(lambda: "video_1" in generator.jobs)
        server.is_stopping = True
        waiting.cancel()
        await asyncio.wait((waiting,))
        assert (await jobs.get("video_1")).state.status == "in_progress"
    generator.step_gate.set()
    async with server.started() as jobs:
        assert (await jobs.wait("video_1")).job.state.status == "completed"


async def test_a_job_whose_answer_nobody_can_fetch_ends_with_the_process_of_its_client(
    server: Server, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    async with server.started() as jobs:
        await jobs.submit(video_spec())
        await until(lambda: "r" in generator.jobs)
    generator.jobs.clear()
    async with server.started() as jobs:
        with pytest.raises(Cancelled):
            await jobs.wait("video_1")
    assert generator.jobs == {}


async def test_one_file_serves_one_process(server: Server) -> None:
    async with server.started():
        with pytest.raises(JobsError, match="each SQLite file serves one"):
            await server.service().open()
    async with server.started():
        pass


@pytest.mark.parametrize("url", ["jobs.sqlite", "sqlite://", "mysql://host/jobs", "postgresql://host"])
def test_what_is_no_place_for_jobs_is_told(url: str) -> None:
    with pytest.raises(JobsError, match="must be sqlite:///FILE or postgresql://"):
        Server(url).service()


def test_several_frontends_need_a_folder_for_the_files() -> None:
    with pytest.raises(JobsError, match="TRITONREEL_JOB_FILES"):
        Server("postgresql://host/jobs").service()


# Cancellation


async def test_a_client_that_leaves_cancels_its_job(jobs: DurableJobService, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    await jobs.submit(kept())
    waiting = asyncio.create_task(jobs.wait("video_1"))
    await until(lambda: "video_1" in generator.jobs)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert generator.cancelled == ["video_1"]
    assert (await jobs.get("video_1")).state.status == "cancelled"


async def test_a_client_that_leaves_while_its_job_is_written_down_cancels_it(
    jobs: DurableJobService, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    submitting = asyncio.create_task(jobs.submit(kept()))
    await asyncio.sleep(0)
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting
    assert (await jobs.get("video_1")).state.status == "cancelled"


async def test_a_job_can_be_cancelled_before_it_began(server: Server, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    server.settings = Settings(jobs=server.settings.jobs, max_running_jobs=1)
    async with server.started() as jobs:
        await jobs.submit(kept("video_1"))
        await until(lambda: "video_1" in generator.jobs)
        await jobs.submit(kept("video_2"))
        waiting = asyncio.create_task(jobs.wait("video_2"))
        await asyncio.sleep(0)
        await jobs.cancel("video_2")
        with pytest.raises(Cancelled):
            await waiting
        generator.step_gate.set()
        await jobs.wait("video_1")
        await jobs.submit(kept("video_3"))
        await jobs.wait("video_3")
    assert list(generator.jobs) == ["video_1", "video_3"]


async def test_what_another_process_cancelled_stops_here(jobs: DurableJobService, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    await jobs.submit(kept())
    await until(lambda: "video_1" in generator.jobs)
    job = await jobs.get("video_1")
    await jobs._store.end("video_1", job.state.cancelled(1001.0), keep=True)
    await until(lambda: generator.cancelled == ["video_1"])
    with pytest.raises(VideoNotFound):  # it ended at 1001, and has expired
        await jobs.get("video_1")


# Outages


async def test_a_job_that_nobody_waits_for_waits_for_the_engine(
    jobs: DurableJobService, generator: FakeGenerator
) -> None:
    errors = [EngineUnavailable("Triton is away"), None]
    generator.error_for = lambda params: errors.pop(0)
    await jobs.submit(kept())
    await until(lambda: not errors)
    assert (await jobs.wait("video_1")).job.state.status == "completed"


async def test_a_client_that_waits_is_told_of_an_outage_at_once(
    jobs: DurableJobService, generator: FakeGenerator
) -> None:
    generator.error_for = lambda params: EngineUnavailable("Triton is away")
    await jobs.submit(kept())
    with pytest.raises(EngineUnavailable):
        await jobs.wait("video_1")


async def test_a_job_that_ended_its_server_again_and_again_fails(
    server: Server, generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "MAX_ATTEMPTS", 2)
    async with server.started() as jobs:
        await jobs._store.create(Job(spec=kept()), "p")
        for _ in range(2):
            claim = await jobs._store.claim("video_1")
            assert claim is not None
            jobs._store._forget(claim.job)
        await jobs._queue.put("video_1")
        await until(lambda: not jobs._calls)
        with pytest.raises(ModelFailed, match="begun 2 times"):
            await jobs.wait("video_1")
    assert generator.jobs == {}


# The sweep


async def test_a_job_that_was_kept_and_not_queued_is_queued(
    server: Server, generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_SETTLED_SECONDS", 0)
    async with server.started() as jobs:
        await jobs._store.create(Job(spec=kept()), "p")
        for _ in range(2):  # it may have been on its way
            await jobs._sweep.once()
        await jobs.wait("video_1")


async def test_jobs_expire_with_their_files(server: Server, tmp_path: Path) -> None:
    server.settings = Settings(jobs=server.settings.jobs, keep_jobs_seconds=1)
    async with server.started() as jobs:
        await jobs.submit(kept())
        await jobs.wait("video_1")
        assert files_of(tmp_path) == ["video_1/1-0.mp4"]
        await asyncio.sleep(1.1)
        with pytest.raises(VideoNotFound):
            await jobs.get("video_1")
        await jobs._sweep.once()
        assert list((tmp_path / "jobs.files").iterdir()) == []
        assert await jobs._queue.missing(["video_1"]) == ["video_1"]
