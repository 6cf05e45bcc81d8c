"""Jobs go on from their checkpoints, which come and go with them."""

import asyncio
from pathlib import Path

import pytest

from frontend.errors import EngineFailed, EngineUnavailable, StorageUnavailable
from frontend.jobs.checkpoints import Checkpoints
from frontend.jobs.service import JobService
from frontend.storage.local_folder import LocalFolder
from frontend.storage.storage import FileName, StoredFile
from protocol.errors import InvalidRequest
from tests.frontend.jobs.job_server import JobServer, named
from tests.waiting import until


@pytest.fixture
def server(sqlite_url: str, storage_folder: Path) -> JobServer:
    """Jobs stop after their first step, of which there is a checkpoint."""
    server = JobServer(sqlite_url, storage_folder)
    server.generator.checkpoint = b"step 1"
    server.generator.step_gate.clear()
    return server


async def begun(server: JobServer, jobs: JobService, n: int = 1) -> None:
    """Its parts have been saved."""
    await jobs.submit(named(n=n))
    await until(lambda: server.files() == [f"video_1/{part}-checkpoint" for part in range(n)])


async def test_each_part_of_a_job_goes_on_from_its_own_after_a_restart(server: JobServer) -> None:
    async with server.started() as jobs:
        await begun(server, jobs, n=2)
        progress = (await jobs.get("video_1")).state.progress
    server.generator.step_gate.set()
    async with server.started() as jobs:
        assert (await jobs.get("video_1")).state.progress == progress
        await jobs.wait("video_1")
        await until(lambda: server.files() == ["video_1/0-video", "video_1/1-video"])
    assert server.generator.resumed == [None, None, b"step 1", b"step 1"]


async def test_a_job_goes_on_when_the_engine_is_back(server: JobServer) -> None:
    async with server.started() as jobs:
        server.generator.error_for = lambda params: (
            EngineUnavailable("lost") if len(server.generator.resumed) == 1 else None
        )
        server.generator.step_gate.set()
        await jobs.submit(named())
        await until(lambda: server.files() == ["video_1/0-video"])
    assert server.generator.resumed == [None, b"step 1"]


@pytest.mark.parametrize("error", [InvalidRequest("of another release", "resume"), EngineFailed("no memory for it")])
async def test_a_job_starts_anew_where_nothing_can_go_on_from_its_checkpoint(
    server: JobServer, error: Exception
) -> None:
    async with server.started() as jobs:
        await begun(server, jobs)
    server.generator.step_gate.set()
    server.generator.resume_error = error
    async with server.started() as jobs:
        await jobs.wait("video_1")
    assert server.generator.resumed == [None, b"step 1", None]


async def test_what_is_wrong_with_the_request_is_no_fault_of_a_checkpoint(server: JobServer) -> None:
    async with server.started() as jobs:
        await begun(server, jobs)
    server.generator.resume_error = InvalidRequest("there is no such adapter", "lora")
    async with server.started() as jobs:
        with pytest.raises(InvalidRequest, match="no such adapter"):
            await jobs.wait("video_1")
    assert server.generator.resumed == [None, b"step 1"]


async def test_a_damaged_checkpoint_costs_no_job_its_end(server: JobServer) -> None:
    async with server.started() as jobs:
        await begun(server, jobs)
    (file,) = server.storage.folder.glob("video_1/0-checkpoint-*")
    file.write_bytes(b"step 2")
    server.generator.step_gate.set()
    async with server.started() as jobs:
        await jobs.wait("video_1")
    assert server.generator.resumed == [None, None]


async def test_a_job_that_is_cancelled_leaves_none(server: JobServer) -> None:
    async with server.started() as jobs:
        await begun(server, jobs)
        await jobs.cancel("video_1")
        assert server.files() == []


async def test_a_job_that_is_cancelled_elsewhere_leaves_none(server: JobServer) -> None:
    async with server.started() as jobs:
        await begun(server, jobs)
        job = await jobs.get("video_1")
        await jobs._store.end("video_1", job.state.cancelled(job.spec.created_at))
        assert server.files() == []
        jobs._store.record(job).checkpoints.save(0, b"step 2")  # by the process that has not heard of it
        await until(lambda: server.generator.cancelled == ["video_1"])
    assert server.files() == []


async def test_a_job_that_looks_lost_while_it_ends_leaves_none(
    server: JobServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks whether its run still counts may be told so by the end that this run has just written."""
    given_up: list[asyncio.Task[None]] = []
    close = Checkpoints.close

    async def close_as_it_is_given_up(checkpoints: Checkpoints) -> None:
        given_up.append(asyncio.create_task(run.give_up()))
        await asyncio.sleep(0)
        await close(checkpoints)

    async with server.started() as jobs:
        await begun(server, jobs)
        run = jobs._worker.runs["video_1"]
        monkeypatch.setattr(Checkpoints, "close", close_as_it_is_given_up)
        server.generator.step_gate.set()
        await jobs.wait("video_1")
        await asyncio.gather(*given_up)
        assert server.files() == ["video_1/0-video"]


async def test_a_run_that_was_replaced_writes_none(server: JobServer) -> None:
    async with server.started() as jobs:
        await begun(server, jobs)
        first = await jobs.get("video_1")
        second = await jobs._store.claim("video_1")
        assert second is not None
        for job, content in ((first, b"old"), (second.job, b"new"), (first, b"older")):
            checkpoints = jobs._store.record(job).checkpoints
            checkpoints.save(0, content)
            assert checkpoints._writing is not None
            await checkpoints._writing
        assert await jobs._store.record(second.job).checkpoints.load(0) == b"new"


async def test_what_a_killed_process_left_goes_with_the_next_sweep(server: JobServer) -> None:
    server.generator.step_gate.set()
    server.generator.checkpoint = None
    async with server.started() as jobs:
        await jobs.submit(named())
        await jobs.wait("video_1")
    for job_id in ("video_1", "video_2"):
        await server.storage.put(FileName(job_id, kind="checkpoint"), b"step 1", "application/octet-stream")
    async with server.started():
        await until(lambda: server.files() == ["video_1/0-video"])


class Away(LocalFolder):
    """A storage that takes no checkpoints."""

    async def put(self, name: FileName, *content: object) -> StoredFile:
        if name.kind == "checkpoint":
            raise StorageUnavailable("the storage is away")
        return await super().put(name, *content)  # type: ignore[arg-type]


async def test_a_storage_that_takes_no_checkpoint_costs_no_job_its_end(server: JobServer, storage_folder: Path) -> None:
    server.storage = Away(storage_folder)
    server.generator.step_gate.set()
    async with server.started() as jobs:
        await jobs.submit(named())
        await jobs.wait("video_1")
    assert server.files() == ["video_1/0-video"]
