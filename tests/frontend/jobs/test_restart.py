"""Jobs that outlive their service, on SQLite."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from frontend.errors import VideoNotFound
from frontend.jobs import sweep, worker
from frontend.jobs.errors import JobsError
from frontend.jobs.state import Job
from frontend.settings import Settings
from frontend.storage.storage import FileName
from protocol.errors import InvalidRequest, ModelFailed
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.jobs.job_server import JobServer, named
from tests.waiting import until


@pytest.fixture
def server(sqlite_url: str, storage_folder: Path) -> JobServer:
    return JobServer(sqlite_url, storage_folder)


@pytest.fixture
def generator(server: JobServer) -> FakeGenerator:
    return server.generator


async def test_the_image_that_a_job_starts_from_is_kept_until_its_end(server: JobServer) -> None:
    server.generator.step_gate.clear()
    image = np.random.default_rng(1).integers(0, 256, (16, 32, 3), np.uint8)
    async with server.started() as jobs:
        await jobs.submit(named().starting_from(image))
        assert "video_1/0-input" in server.files()
        await until(lambda: "video_1" in server.generator.jobs)
    server.generator.jobs.clear()
    server.generator.step_gate.set()
    async with server.started() as jobs:
        await jobs.wait("video_1")
    received = server.generator.jobs["video_1"].image
    assert received is not None
    np.testing.assert_array_equal(received, image)
    assert server.files() == ["video_1/0-video"]


async def test_whoever_waits_gets_the_error_itself_and_later_its_like(
    server: JobServer, generator: FakeGenerator
) -> None:
    error = InvalidRequest("must be odd", "width")
    generator.error_for = lambda params: error
    async with server.started() as jobs:
        await jobs.submit(named())
        with pytest.raises(InvalidRequest) as raised:
            await jobs.wait("video_1")
        assert raised.value is error
    async with server.started() as jobs:
        assert (await jobs.get("video_1")).state.status == "failed"
        with pytest.raises(InvalidRequest, match="must be odd") as raised:
            await jobs.wait("video_1")
        assert raised.value.field == "width"


async def test_jobs_that_run_and_jobs_that_wait_go_on_after_a_restart(server: JobServer) -> None:
    server.settings = Settings(jobs=server.settings.jobs, max_running_jobs=2)
    server.generator.step_gate.clear()
    ids = [f"video_{number}" for number in range(5)]
    async with server.started() as jobs:
        for job_id in ids:
            await jobs.submit(named(job_id))
        await until(lambda: len(server.generator.jobs) == 2)
    assert sorted(server.generator.cancelled) == sorted(server.generator.jobs)
    server.generator.step_gate.set()
    async with server.started() as jobs:
        finished = [await jobs.wait(job_id) for job_id in ids]
    assert [one.job.spec.id for one in finished] == ids


async def test_a_job_is_where_it_was_after_a_restart(server: JobServer, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    async with server.started() as jobs:
        await jobs.submit(named())
        await until(lambda: "video_1" in generator.jobs)
        before = (await jobs.get("video_1")).state
        assert (before.status, before.progress) == ("in_progress", 45)
    async with server.started() as jobs:
        assert (await jobs.get("video_1")).state == before
        generator.step_gate.set()
        assert (await jobs.wait("video_1")).job.state.started_at == before.started_at


async def test_clients_that_a_stopping_server_sends_away_lose_no_job(
    server: JobServer, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    async with server.started() as jobs:
        await jobs.submit(named())
        waiting = asyncio.create_task(jobs.wait("video_1"))
        await until(lambda: "video_1" in generator.jobs)
        server.is_stopping = True
        waiting.cancel()
        await asyncio.wait((waiting,))
        assert (await jobs.get("video_1")).state.status == "in_progress"
    generator.step_gate.set()
    async with server.started() as jobs:
        assert (await jobs.wait("video_1")).job.state.status == "completed"


async def test_one_file_serves_one_process(server: JobServer) -> None:
    async with server.started():
        with pytest.raises(JobsError, match="each SQLite file serves one"):
            await server.service().open()
    async with server.started():
        pass


@pytest.mark.parametrize("url", ["jobs.sqlite", "sqlite://", "mysql://host/jobs", "postgresql://host"])
def test_what_is_no_place_for_jobs_is_told(url: str, tmp_path: Path) -> None:
    with pytest.raises(JobsError, match="must be sqlite:///FILE or postgresql://"):
        JobServer(url, tmp_path).service()


async def test_what_another_process_cancelled_stops_here(server: JobServer, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    async with server.started() as jobs:
        await jobs.submit(named())
        await until(lambda: "video_1" in generator.jobs)
        job = await jobs.get("video_1")
        await jobs._store.end("video_1", job.state.cancelled(1001.0))
        await until(lambda: generator.cancelled == ["video_1"] and not jobs._worker.runs)
        with pytest.raises(VideoNotFound):  # it ended at 1001, and has expired
            await jobs.get("video_1")


async def test_a_job_that_ended_its_server_again_and_again_fails(
    server: JobServer, generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "MAX_ATTEMPTS", 2)
    async with server.started() as jobs:
        await jobs._store.create(Job(spec=named()))
        for _ in range(2):
            claim = await jobs._store.claim("video_1")
            assert claim is not None
            jobs._store._forget(claim.job)
        await jobs._worker.queue.put("video_1", 1)
        await until(lambda: not jobs._worker._calls)
        with pytest.raises(ModelFailed, match="begun 2 times"):
            await jobs.wait("video_1")
    assert generator.jobs == {}


async def test_a_job_that_was_kept_and_not_queued_is_queued(
    server: JobServer, generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_SETTLED_SECONDS", 0)
    async with server.started() as jobs:
        await jobs._store.create(Job(spec=named()))
        for _ in range(2):  # it may have been on its way
            await jobs._worker.sweep.once()
        await jobs.wait("video_1")


async def test_jobs_expire_with_their_files(server: JobServer) -> None:
    server.settings = Settings(jobs=server.settings.jobs, keep_jobs_seconds=1)
    async with server.started() as jobs:
        await jobs.submit(named())
        await jobs.wait("video_1")
        assert server.files() == ["video_1/0-video"]
        await asyncio.sleep(1.1)
        with pytest.raises(VideoNotFound):
            await jobs.get("video_1")
        await jobs._worker.sweep.once()
        assert server.files() == []
        assert await jobs._worker.queue.missing(["video_1"]) == ["video_1"]


async def test_a_job_that_died_with_its_process_before_it_was_queued_goes_on_at_the_next_start(
    server: JobServer,
) -> None:
    async with server.started() as jobs:
        await jobs._store.create(Job(spec=named()))
    async with server.started() as jobs:
        assert (await jobs.wait("video_1")).job.state.status == "completed"


async def test_a_job_whose_image_cannot_be_read_now_waits_for_it(
    server: JobServer, generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_SETTLED_SECONDS", 0)
    image = np.zeros((16, 32, 3), np.uint8)
    away = server.storage.folder.with_name("away")
    async with server.started() as jobs:
        await jobs._store.create(Job(spec=named().starting_from(image)))
    server.storage.folder.rename(away)
    server.storage.folder.write_bytes(b"in the way")
    async with server.started() as jobs:
        await until(lambda: jobs._worker.sweep._suspects is not None and not jobs._worker._calls)
        assert (await jobs.get("video_1")).state.status == "queued"
        server.storage.folder.unlink()
        away.rename(server.storage.folder)
        for _ in range(2):
            await jobs._worker.sweep.once()
        await jobs.wait("video_1")


async def test_files_of_no_job_are_removed_when_they_are_old(server: JobServer) -> None:
    server.settings = Settings(jobs=server.settings.jobs, keep_jobs_seconds=1)
    await server.storage.put(FileName("video_orphan"), b"x", "video/mp4")
    async with server.started() as jobs:
        await jobs.submit(named())
        await jobs._store.remove_orphans()
        assert "video_orphan/0-video" in server.files()
        await asyncio.sleep(1.1)
        await jobs._store.remove_orphans()
        assert server.files() == ["video_1/0-video"]
