"""Jobs from their submission to their end, as the routes and those who listen see them; in memory and on SQLite."""

import asyncio
import hashlib
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import Connection, event, text

from frontend.errors import EngineUnavailable, StorageFull, StorageUnavailable, VideoNotFound
from frontend.jobs.events import Ended, PartEvent, Queued
from frontend.jobs.service import JobService
from frontend.settings import Settings
from protocol.errors import Cancelled, InvalidRequest
from protocol.events import Progress
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.jobs.job_server import JobServer, heard, named
from tests.frontend.jobs.specs import video_spec
from tests.waiting import until


@pytest.fixture(params=["memory", "sqlite"])
def server(request: pytest.FixtureRequest, storage_folder: Path) -> JobServer:
    url = None if request.param == "memory" else request.getfixturevalue("sqlite_url")
    return JobServer(url, storage_folder)


@pytest.fixture
def generator(server: JobServer) -> FakeGenerator:
    return server.generator


@pytest.fixture
async def jobs(server: JobServer) -> AsyncIterator[JobService]:
    async with server.started() as jobs:
        yield jobs


async def test_a_job_is_in_progress_then_completed(jobs: JobService, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    await jobs.submit(video_spec())
    await until(lambda: "r" in generator.jobs)
    assert (await jobs.get("video_1")).state.status == "in_progress"
    generator.step_gate.set()
    finished = await jobs.wait("video_1")
    state = finished.job.state
    assert (state.progress, state.error) == (100, None)
    assert state.started_at is not None
    assert state.finished_at is not None
    assert state.started_at <= state.finished_at
    assert len(finished.files) == len(finished.job.outputs) == 1


async def test_a_job_can_be_fetched_afterwards(jobs: JobService, server: JobServer) -> None:
    await jobs.submit(video_spec(2), owner="ann", request_hash="abc")
    finished = await jobs.wait("video_1")
    assert len(finished.files) == 2
    assert (finished.job.owner, finished.job.request_hash) == ("ann", "abc")
    assert await jobs.get("video_1") == finished.job
    for part, content in enumerate(finished.files):
        assert (await jobs.file(finished.job, part)).sha256 == hashlib.sha256(content).hexdigest()
    assert server.files() == ["video_1/0-video", "video_1/1-video"]
    assert await jobs.wait("video_1") == finished
    with pytest.raises(VideoNotFound):
        await jobs.file(finished.job, 2)


async def test_a_job_whose_files_cannot_be_stored_fails_with_the_reason(jobs: JobService, server: JobServer) -> None:
    storage = server.storage
    shutil.rmtree(storage.folder)
    storage.folder.write_bytes(b"in the way")
    await jobs.submit(video_spec())
    events, error = await asyncio.gather(heard(jobs), jobs.wait("video_1"), return_exceptions=True)
    assert isinstance(error, StorageUnavailable)
    assert error.message.startswith("the storage folder cannot be used")
    assert isinstance(events, list)
    last = events[-1]
    assert isinstance(last, Ended)
    assert last.job.state.status == "failed"
    assert last.job.state.error is not None
    assert last.job.state.error.code == "storage_unavailable"


async def test_an_unknown_job_is_not_found(jobs: JobService) -> None:
    for asked in (jobs.get("x"), jobs.wait("x")):
        with pytest.raises(VideoNotFound):
            await asked
    await jobs.cancel("x")


async def test_an_unknown_job_is_named_shortly(jobs: JobService) -> None:
    with pytest.raises(VideoNotFound) as error:
        await jobs.get("x" * 1000)
    assert error.value.field == "video_id"
    assert len(error.value.message) < 150


# Listeners


async def test_listeners_hear_what_happens_in_order(jobs: JobService, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    await jobs.submit(video_spec())
    listeners = [asyncio.create_task(heard(jobs)) for _ in range(2)]
    await until(lambda: "r" in generator.jobs)
    generator.step_gate.set()
    finished = await jobs.wait("video_1")
    first, second = await asyncio.gather(*listeners)
    assert first == second
    assert isinstance(first[0], Queued)
    assert first[1] == PartEvent(0, Progress(steps_done=1, steps=2, frames_done=0, frames=9))
    assert first[2:] == [Ended(finished.job)]


async def test_a_listener_hears_that_and_why_a_job_failed(jobs: JobService, generator: FakeGenerator) -> None:
    generator.error_for = lambda params: InvalidRequest("must be odd", "width")
    await jobs.submit(video_spec())
    last = (await heard(jobs))[-1]
    assert isinstance(last, Ended)
    assert last.job.state.status == "failed"
    error = last.job.state.error
    assert error is not None
    assert (error.code, error.message, error.field) == ("unsupported_value", "must be odd", "width")


async def test_after_the_end_a_listener_hears_the_end(jobs: JobService) -> None:
    await jobs.submit(video_spec())
    finished = await jobs.wait("video_1")
    assert await heard(jobs) == [Ended(finished.job)]


async def test_nobody_can_listen_to_an_unknown_job(jobs: JobService) -> None:
    with pytest.raises(VideoNotFound):
        await heard(jobs)


async def test_a_listener_that_leaves_does_not_stop_the_job(jobs: JobService, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    await jobs.submit(video_spec())
    listener = asyncio.create_task(heard(jobs))
    await until(lambda: "r" in generator.jobs)
    listener.cancel()
    generator.step_gate.set()
    assert (await jobs.wait("video_1")).job.state.status == "completed"
    assert generator.cancelled == []


# Jobs that fail


async def test_whoever_waits_gets_the_error_itself(jobs: JobService, generator: FakeGenerator) -> None:
    error = EngineUnavailable("Triton is away")
    generator.error_for = lambda params: error
    await jobs.submit(video_spec())
    with pytest.raises(EngineUnavailable) as raised:
        await jobs.wait("video_1")
    assert raised.value is error
    state = (await jobs.get("video_1")).state
    assert state.status == "failed"
    assert state.error is not None
    assert state.error.code == "service_unavailable"


async def test_of_a_fault_of_ours_the_state_says_no_more_than_its_id(
    jobs: JobService, generator: FakeGenerator
) -> None:
    generator.error_for = lambda params: RuntimeError("secret detail")
    await jobs.submit(video_spec())
    with pytest.raises(RuntimeError, match="secret detail"):
        await jobs.wait("video_1")
    error = (await jobs.get("video_1")).state.error
    assert error is not None
    assert (error.code, error.message) == ("internal_error", "Internal error. Its request id is r.")


# Cancellation


async def test_a_client_that_leaves_cancels_its_job(jobs: JobService, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    await jobs.submit(video_spec(2))
    waiting = asyncio.create_task(jobs.wait("video_1"))
    await until(lambda: len(generator.jobs) == 2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert sorted(generator.cancelled) == ["r-0", "r-1"]
    assert (await jobs.get("video_1")).state.status == "cancelled"


async def test_whoever_waits_for_a_job_that_another_cancels_is_told(jobs: JobService, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    await jobs.submit(video_spec())
    waiting, listener = asyncio.create_task(jobs.wait("video_1")), asyncio.create_task(heard(jobs))
    await until(lambda: "r" in generator.jobs)
    await jobs.cancel("video_1")
    with pytest.raises(Cancelled):
        await waiting
    last = (await listener)[-1]
    assert isinstance(last, Ended)
    assert last.job.state.status == "cancelled"


async def test_cancelling_a_finished_or_an_unknown_job_has_no_effect(jobs: JobService) -> None:
    await jobs.submit(video_spec())
    await jobs.wait("video_1")
    await jobs.cancel("video_1")
    await jobs.cancel("video_2")
    assert (await jobs.get("video_1")).state.status == "completed"


async def test_a_job_that_is_deleted_stops_and_is_gone_with_its_files(
    jobs: JobService, server: JobServer, generator: FakeGenerator, caplog: pytest.LogCaptureFixture
) -> None:
    generator.step_gate.clear()
    await jobs.submit(video_spec())
    waiting = asyncio.create_task(jobs.wait("video_1"))
    await until(lambda: "r" in generator.jobs)
    await asyncio.sleep(1.5)  # by then it has an entry in the queue
    await jobs.delete("video_1")
    assert generator.cancelled == ["r"]
    with pytest.raises(Cancelled):
        await waiting
    with pytest.raises(VideoNotFound):
        await jobs.get("video_1")
    assert server.files() == []
    await jobs.delete("video_1")
    assert [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []


async def test_a_job_that_is_deleted_while_it_waits_for_a_place_never_runs(
    server: JobServer, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    server.settings = Settings(jobs=server.settings.jobs, max_running_jobs=1)
    async with server.started() as jobs:
        await jobs.submit(named("video_1"))
        await until(lambda: "video_1" in generator.jobs)
        await jobs.submit(named("video_2"))
        await jobs.delete("video_2")
        await jobs.submit(named("video_3"))
        generator.step_gate.set()
        await jobs.wait("video_3")
    assert list(generator.jobs) == ["video_1", "video_3"]


async def test_a_run_whose_job_another_process_has_deleted_leaves_no_file(
    jobs: JobService, server: JobServer, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    await jobs.submit(video_spec())
    await until(lambda: "r" in generator.jobs)
    await jobs._store.remove(("video_1",))
    generator.step_gate.set()
    await until(lambda: not jobs._worker.runs)
    assert server.files() == []


async def test_a_client_that_comes_again_keeps_the_job_of_the_one_that_left(
    jobs: JobService, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    await jobs.submit(video_spec(), request_hash="h", idempotency="k")
    first = asyncio.create_task(jobs.wait("video_1", grace=lambda: 0.2))
    await until(lambda: "r" in generator.jobs)
    first.cancel()
    again = await jobs.repeats.earlier("h", "k", is_retry=False)
    assert again is not None
    second = asyncio.create_task(jobs.wait("video_1", repeats=again.repeats))
    await asyncio.sleep(0.5)
    assert generator.cancelled == []
    second.cancel()
    await until(lambda: generator.cancelled == ["r"])


async def test_closing_stops_every_job(server: JobServer, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    async with server.started() as jobs:
        for number in range(3):
            await jobs.submit(video_spec(job_id=f"video_{number}", request_id=f"r{number}"))
        await until(lambda: len(generator.jobs) == 3)
    assert sorted(generator.cancelled) == ["r0", "r1", "r2"]


# Before it began, and outages


async def test_a_client_that_leaves_while_its_job_is_written_down_cancels_it(
    jobs: JobService, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    submitting = asyncio.create_task(jobs.submit(named()))
    await asyncio.sleep(0)
    submitting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await submitting
    assert (await jobs.get("video_1")).state.status == "cancelled"


async def test_a_job_can_be_cancelled_while_it_waits_for_a_place(server: JobServer, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    server.settings = Settings(jobs=server.settings.jobs, max_running_jobs=1)
    async with server.started() as jobs:
        await jobs.submit(named("video_1"))
        await until(lambda: "video_1" in generator.jobs)
        await jobs.submit(named("video_2"))
        waiting = asyncio.create_task(jobs.wait("video_2"))
        await asyncio.sleep(0)
        await jobs.cancel("video_2")
        with pytest.raises(Cancelled):
            await waiting
        generator.step_gate.set()
        await jobs.wait("video_1")
        await jobs.submit(named("video_3"))
        await jobs.wait("video_3")
    assert list(generator.jobs) == ["video_1", "video_3"]


async def test_a_job_that_nobody_waits_for_waits_for_the_engine(jobs: JobService, generator: FakeGenerator) -> None:
    errors = [EngineUnavailable("Triton is away"), None]
    generator.error_for = lambda params: errors.pop(0)
    await jobs.submit(named())
    await until(lambda: not errors)
    assert (await jobs.wait("video_1")).job.state.status == "completed"


async def test_a_client_that_waits_is_told_of_an_outage_at_once(jobs: JobService, generator: FakeGenerator) -> None:
    generator.error_for = lambda params: EngineUnavailable("Triton is away")
    await jobs.submit(named())
    with pytest.raises(EngineUnavailable):
        await jobs.wait("video_1")


async def submit_many(jobs: JobService) -> None:
    for number in range(100):
        await jobs.submit(named(f"video_{number}"))


async def test_a_full_disk_of_the_database_is_told_as_that(sqlite_url: str, storage_folder: Path) -> None:
    server = JobServer(sqlite_url, storage_folder)
    server.generator.step_gate.clear()
    async with server.started() as jobs:
        engine = jobs._store._table._engine
        with engine.connect() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()

        def allow_no_more(connection: Connection) -> None:
            connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

        event.listen(engine, "begin", allow_no_more)
        with pytest.raises(StorageFull, match="disk of the database of jobs is full"):
            await submit_many(jobs)
        event.remove(engine, "begin", allow_no_more)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000")
