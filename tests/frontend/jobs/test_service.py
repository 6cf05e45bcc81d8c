"""Jobs from their submission to their end, as the routes and those who listen see them."""

import asyncio
import hashlib
import shutil
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path

import pytest

from frontend.errors import EngineUnavailable, StorageUnavailable, VideoNotFound
from frontend.generators.generator import Frames
from frontend.jobs.events import Ended, JobEvent, PartEvent, Queued
from frontend.jobs.runner import JobRunner
from frontend.jobs.service import JobService
from frontend.jobs.state import Job
from frontend.jobs.store import MemoryJobStore
from frontend.metrics import Metrics
from frontend.storage.local_folder import LocalFolder
from protocol.errors import Cancelled, InvalidRequest
from protocol.events import Progress
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.jobs.specs import video_spec


class Diary(MemoryJobStore):
    """Writes down each state that a job is told to be in."""

    def __init__(self, storage: LocalFolder) -> None:
        super().__init__(storage, max_bytes=1_000_000, max_age_seconds=60)
        self.jobs: list[Job] = []

    async def create(self, job: Job) -> None:
        self.jobs.append(job)
        await super().create(job)

    async def update(self, job: Job) -> None:
        self.jobs.append(job)
        await super().update(job)

    async def finish(self, job: Job, files: tuple[bytes, ...]) -> Job:
        self.jobs.append(job)
        return await super().finish(job, files)

    @property
    def statuses(self) -> list[str]:
        return [job.state.status for job in self.jobs]


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator()


@pytest.fixture
def storage(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "storage")


@pytest.fixture
def store(storage: LocalFolder) -> Diary:
    return Diary(storage)


@pytest.fixture
def jobs(generator: FakeGenerator, store: Diary, storage: LocalFolder) -> JobService:
    return JobService(JobRunner(generator, Metrics(), timeout_seconds=60), store, storage)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0)


async def heard(jobs: JobService, job_id: str = "video_1") -> list[JobEvent]:
    async with asyncio.timeout(10), aclosing(jobs.listen(job_id)) as events:
        return [event async for event in events]


async def test_a_job_is_queued_then_in_progress_then_completed(jobs: JobService, store: Diary) -> None:
    await jobs.submit(video_spec())
    assert (await jobs.get("video_1")).state.status == "queued"
    finished = await jobs.wait("video_1")
    assert store.statuses == ["queued", "in_progress", "completed"]
    state = finished.job.state
    assert (state.progress, state.error) == (100, None)
    assert state.started_at is not None
    assert state.finished_at is not None
    assert state.started_at <= state.finished_at
    assert len(finished.files) == len(finished.job.outputs) == 1


async def test_a_kept_job_can_be_fetched_afterwards(jobs: JobService) -> None:
    await jobs.submit(video_spec(2, keep=True))
    finished = await jobs.wait("video_1")
    assert await jobs.get("video_1") == finished.job
    assert (await jobs.content("video_1")).sha256 == hashlib.sha256(finished.files[0]).hexdigest()
    again = await jobs.wait("video_1")
    assert (again.job, again.files) == (finished.job, finished.files[:1])


async def test_a_job_whose_files_cannot_be_stored_fails_with_the_reason(jobs: JobService, storage: LocalFolder) -> None:
    shutil.rmtree(storage.folder)
    storage.folder.write_bytes(b"in the way")
    await jobs.submit(video_spec(keep=True))
    events, error = await asyncio.gather(heard(jobs), jobs.wait("video_1"), return_exceptions=True)
    assert isinstance(error, StorageUnavailable)
    assert error.message.startswith("the storage folder cannot be used")
    assert isinstance(events, list)
    last = events[-1]
    assert isinstance(last, Ended)
    assert last.job.state.status == "failed"
    assert last.job.state.error is not None
    assert last.job.state.error.code == "storage_unavailable"


async def test_a_job_that_is_not_kept_is_gone(jobs: JobService) -> None:
    await jobs.submit(video_spec())
    await jobs.wait("video_1")
    for gone in (jobs.get("video_1"), jobs.content("video_1"), jobs.wait("video_1")):
        with pytest.raises(VideoNotFound):
            await gone


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
    assert [type(event.event) for event in first[2:-1] if isinstance(event, PartEvent)] == [Frames] * 3
    assert first[-1] == Ended(finished.job)


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
    await jobs.submit(video_spec(keep=True))
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


async def test_whoever_waits_gets_the_error_itself(jobs: JobService, generator: FakeGenerator, store: Diary) -> None:
    error = EngineUnavailable("Triton is away")
    generator.error_for = lambda params: error
    await jobs.submit(video_spec())
    with pytest.raises(EngineUnavailable) as raised:
        await jobs.wait("video_1")
    assert raised.value is error
    assert store.statuses == ["queued", "in_progress", "failed"]
    assert store.jobs[-1].state.error is not None
    assert store.jobs[-1].state.error.code == "service_unavailable"


async def test_of_a_fault_of_ours_the_state_says_no_more_than_its_id(
    jobs: JobService, generator: FakeGenerator, store: Diary
) -> None:
    generator.error_for = lambda params: RuntimeError("secret detail")
    await jobs.submit(video_spec())
    with pytest.raises(RuntimeError, match="secret detail"):
        await jobs.wait("video_1")
    error = store.jobs[-1].state.error
    assert error is not None
    assert (error.code, error.message) == ("internal_error", "Internal error. Its request id is r.")


# Cancellation


async def test_a_client_that_leaves_cancels_its_job(jobs: JobService, generator: FakeGenerator, store: Diary) -> None:
    generator.step_gate.clear()
    await jobs.submit(video_spec(2))
    waiting = asyncio.create_task(jobs.wait("video_1"))
    await until(lambda: len(generator.jobs) == 2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert sorted(generator.cancelled) == ["r-0", "r-1"]
    assert store.statuses[-1] == "cancelled"
    with pytest.raises(VideoNotFound):
        await jobs.get("video_1")


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


async def test_a_job_can_be_cancelled_before_it_began(jobs: JobService, generator: FakeGenerator, store: Diary) -> None:
    await jobs.submit(video_spec())
    await jobs.cancel("video_1")
    assert store.statuses == ["queued", "cancelled"]
    assert generator.jobs == {}


async def test_cancelling_a_finished_or_an_unknown_job_has_no_effect(jobs: JobService) -> None:
    await jobs.submit(video_spec(keep=True))
    await jobs.wait("video_1")
    await jobs.cancel("video_1")
    await jobs.cancel("video_2")
    assert (await jobs.get("video_1")).state.status == "completed"


async def test_closing_stops_every_job(jobs: JobService, generator: FakeGenerator, store: Diary) -> None:
    generator.step_gate.clear()
    for number in range(3):
        await jobs.submit(video_spec(job_id=f"video_{number}", request_id=f"r{number}"))
    await until(lambda: len(generator.jobs) == 3)
    await jobs.close()
    assert sorted(generator.cancelled) == ["r0", "r1", "r2"]
    assert store.statuses.count("cancelled") == 3
