import asyncio
import shutil
from pathlib import Path

import numpy as np
import pytest

from frontend.errors import StorageUnavailable
from frontend.jobs.state import Job, JobError
from frontend.jobs.store import MemoryJobStore
from frontend.storage.local_folder import LocalFolder
from tests.frontend.jobs.specs import completed, video_spec


@pytest.fixture
def storage(tmp_path: Path) -> LocalFolder:
    return LocalFolder(tmp_path / "storage")


async def content(store: MemoryJobStore, storage: LocalFolder, job_id: str) -> bytes:
    file = await store.content(job_id)
    assert file is not None
    return b"".join([chunk async for chunk in await storage.read(file)])


async def finish(store: MemoryJobStore, job_id: str, size: int = 10, keep: bool = True) -> Job:
    """Run a job whose file has `size` bytes through the store."""
    job = Job(spec=video_spec(job_id=job_id, keep=keep))
    await store.create(job)
    return await store.finish(completed(job.spec), (b"x" * size,))


async def kept(store: MemoryJobStore, ids: str) -> str:
    """Those of the one-letter `ids` that are there, with their content."""
    there = [job_id for job_id in ids if await store.get(job_id) is not None]
    assert [job_id for job_id in ids if await store.content(job_id) is not None] == there
    return "".join(there)


async def test_the_newest_that_fit_are_kept(storage: LocalFolder) -> None:
    store = MemoryJobStore(storage, max_bytes=25, max_age_seconds=60)
    for job_id in "abcd":
        await finish(store, job_id)
    assert await kept(store, "abcd") == "cd"
    await finish(store, "e", 20)
    assert await kept(store, "cde") == "e"


@pytest.mark.parametrize("max_bytes", [0, 9])
async def test_one_that_does_not_fit_alone_is_not_kept(storage: LocalFolder, max_bytes: int) -> None:
    store = MemoryJobStore(storage, max_bytes, max_age_seconds=60)
    await finish(store, "a")
    assert await kept(store, "a") == ""


async def test_they_are_kept_for_a_while(storage: LocalFolder) -> None:
    now = 0.0
    store = MemoryJobStore(storage, max_bytes=100, max_age_seconds=60, clock=lambda: now)
    await finish(store, "a")
    now = 50.0
    await finish(store, "b")
    now = 60.0
    assert await kept(store, "ab") == "ab"
    now = 60.1
    assert await kept(store, "ab") == "b"
    now = 200.0
    assert await kept(store, "ab") == ""


async def test_what_is_kept_is_the_finished_job_and_its_first_file(storage: LocalFolder) -> None:
    store = MemoryJobStore(storage, max_bytes=100, max_age_seconds=60)
    job = await store.finish(completed(video_spec(2, "a", keep=True)), (b"first", b"second"))
    assert job.state.expires_at == 1010.0 + 60
    assert await store.get("a") == job
    assert await content(store, storage, "a") == b"first"


async def test_only_the_first_file_counts(storage: LocalFolder) -> None:
    store = MemoryJobStore(storage, max_bytes=10, max_age_seconds=60)
    await store.finish(completed(video_spec(2, "a", keep=True)), (b"x" * 10, b"x" * 10))
    assert await kept(store, "a") == "a"


async def test_the_image_that_a_job_started_from_is_let_go(storage: LocalFolder) -> None:
    store = MemoryJobStore(storage, max_bytes=100, max_age_seconds=60)
    spec = video_spec(job_id="a", keep=True).starting_from(np.zeros((16, 32, 3), np.uint8))
    await store.finish(completed(spec), (b"x",))
    stored = await store.get("a")
    assert stored is not None
    assert stored.spec.image is None


async def test_a_running_job_is_there_as_it_is_whatever_its_age(storage: LocalFolder) -> None:
    now = 0.0
    store = MemoryJobStore(storage, max_bytes=0, max_age_seconds=60, clock=lambda: now)
    job = Job(spec=video_spec(job_id="a"))
    await store.create(job)
    assert await store.get("a") == job
    await store.update(changed := job.with_state(job.state.advanced(10, 1.0)))
    now = 1000.0
    assert await store.get("a") == changed
    assert await store.content("a") is None


async def test_a_job_whose_answer_was_its_result_is_forgotten(storage: LocalFolder) -> None:
    store = MemoryJobStore(storage, max_bytes=100, max_age_seconds=60)
    assert (await finish(store, "a", keep=False)).state.expires_at is None
    assert await kept(store, "a") == ""


async def test_a_job_that_did_not_end_well_is_forgotten(storage: LocalFolder) -> None:
    store = MemoryJobStore(storage, max_bytes=100, max_age_seconds=60)
    for job_id, end in (("a", "failed"), ("b", "cancelled")):
        job = Job(spec=video_spec(job_id=job_id, keep=True))
        await store.create(job)
        error = JobError(code="internal_error", message="Internal error.")
        state = job.state.failed(error, 1.0) if end == "failed" else job.state.cancelled(1.0)
        await store.finish(job.with_state(state), ())
    assert await kept(store, "ab") == ""


async def test_an_unknown_job_is_none(storage: LocalFolder) -> None:
    store = MemoryJobStore(storage, max_bytes=100, max_age_seconds=60)
    assert await store.get("a") is None
    assert await store.content("a") is None


async def test_what_made_room_is_deleted_from_the_storage(storage: LocalFolder) -> None:
    store = MemoryJobStore(storage, max_bytes=25, max_age_seconds=60)
    for job_id in "abcd":
        await finish(store, job_id)
    async with asyncio.timeout(10):
        while {file.name.job_id async for file in storage.list()} != {"c", "d"}:
            await asyncio.sleep(0.01)


async def test_a_job_whose_file_cannot_be_stored_still_runs(storage: LocalFolder) -> None:
    store = MemoryJobStore(storage, max_bytes=25, max_age_seconds=60)
    job = Job(spec=video_spec(job_id="a", keep=True))
    await store.create(job)
    shutil.rmtree(storage.folder)
    storage.folder.write_bytes(b"in the way")
    with pytest.raises(StorageUnavailable, match="cannot be used"):
        await store.finish(completed(job.spec), (b"x",))
    assert await store.get("a") == job
