import numpy as np
import pytest

from frontend.jobs.state import Job, JobError
from frontend.jobs.store import MemoryJobStore
from tests.frontend.jobs.specs import completed, video_spec


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


async def test_the_newest_that_fit_are_kept() -> None:
    store = MemoryJobStore(max_bytes=25, max_age_seconds=60)
    for job_id in "abcd":
        await finish(store, job_id)
    assert await kept(store, "abcd") == "cd"
    await finish(store, "e", 20)
    assert await kept(store, "cde") == "e"


@pytest.mark.parametrize("max_bytes", [0, 9])
async def test_one_that_does_not_fit_alone_is_not_kept(max_bytes: int) -> None:
    store = MemoryJobStore(max_bytes, max_age_seconds=60)
    await finish(store, "a")
    assert await kept(store, "a") == ""


async def test_they_are_kept_for_a_while() -> None:
    now = 0.0
    store = MemoryJobStore(max_bytes=100, max_age_seconds=60, clock=lambda: now)
    await finish(store, "a")
    now = 50.0
    await finish(store, "b")
    now = 60.0
    assert await kept(store, "ab") == "ab"
    now = 60.1
    assert await kept(store, "ab") == "b"
    now = 200.0
    assert await kept(store, "ab") == ""


async def test_what_is_kept_is_the_finished_job_and_its_first_file() -> None:
    store = MemoryJobStore(max_bytes=100, max_age_seconds=60)
    job = await store.finish(completed(video_spec(2, "a", keep=True)), (b"first", b"second"))
    assert job.state.expires_at == 1010.0 + 60
    assert await store.get("a") == job
    assert await store.content("a") == b"first"


async def test_only_the_first_file_counts() -> None:
    store = MemoryJobStore(max_bytes=10, max_age_seconds=60)
    await store.finish(completed(video_spec(2, "a", keep=True)), (b"x" * 10, b"x" * 10))
    assert await kept(store, "a") == "a"


async def test_the_image_that_a_job_started_from_is_let_go() -> None:
    store = MemoryJobStore(max_bytes=100, max_age_seconds=60)
    spec = video_spec(job_id="a", keep=True).starting_from(np.zeros((16, 32, 3), np.uint8))
    await store.finish(completed(spec), (b"x",))
    stored = await store.get("a")
    assert stored is not None
    assert stored.spec.image is None


async def test_a_running_job_is_there_as_it_is_whatever_its_age() -> None:
    now = 0.0
    store = MemoryJobStore(max_bytes=0, max_age_seconds=60, clock=lambda: now)
    job = Job(spec=video_spec(job_id="a"))
    await store.create(job)
    assert await store.get("a") == job
    await store.update(changed := job.with_state(job.state.advanced(10, 1.0)))
    now = 1000.0
    assert await store.get("a") == changed
    assert await store.content("a") is None


async def test_a_job_whose_answer_was_its_result_is_forgotten() -> None:
    store = MemoryJobStore(max_bytes=100, max_age_seconds=60)
    assert (await finish(store, "a", keep=False)).state.expires_at is None
    assert await kept(store, "a") == ""


async def test_a_job_that_did_not_end_well_is_forgotten() -> None:
    store = MemoryJobStore(max_bytes=100, max_age_seconds=60)
    for job_id, end in (("a", "failed"), ("b", "cancelled")):
        job = Job(spec=video_spec(job_id=job_id, keep=True))
        await store.create(job)
        error = JobError(code="internal_error", message="Internal error.")
        state = job.state.failed(error, 1.0) if end == "failed" else job.state.cancelled(1.0)
        await store.finish(job.with_state(state), ())
    assert await kept(store, "ab") == ""


async def test_an_unknown_job_is_none() -> None:
    store = MemoryJobStore(max_bytes=100, max_age_seconds=60)
    assert await store.get("a") is None
    assert await store.content("a") is None
