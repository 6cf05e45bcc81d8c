"""Jobs whose server is lost while another one is there."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from frontend.errors import EngineUnavailable
from frontend.generators.pool import Pool
from frontend.jobs.opening import open_jobs
from frontend.jobs.runner import JobRunner
from frontend.jobs.service import JobService
from frontend.metrics import Metrics
from frontend.settings import Settings
from frontend.storage.local_folder import LocalFolder
from protocol.errors import ModelFailed
from protocol.sampling import AnySpec
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.jobs.job_server import named
from tests.frontend.jobs.specs import video_spec
from tests.waiting import until


@pytest.fixture
async def jobs(pool: Pool, tmp_path: Path) -> AsyncIterator[JobService]:
    metrics, storage = Metrics(), LocalFolder(tmp_path / "files")
    runner = JobRunner(pool, metrics, timeout_seconds=60, checkpoint_seconds=1, storage=storage)
    jobs = open_jobs(Settings(), runner, storage, metrics, lambda: False)
    await jobs.open()
    yield jobs
    await jobs.close()


def lose_first(servers: list[FakeGenerator], error: Exception, jobs: int = 1) -> None:
    """Each of the first so many calls ends with `error`, after its first step and its checkpoint."""
    left = [error] * jobs

    def next_error(_: AnySpec) -> Exception | None:
        return left.pop() if left else None

    for number, server in enumerate(servers):
        server.error_for = next_error
        server.checkpoint = f"saved by {number}".encode()


@pytest.mark.parametrize("error", [EngineUnavailable("lost"), ModelFailed("out of memory")])
@pytest.mark.parametrize("losses", [1, 2])
async def test_a_job_whose_client_waits_goes_on_from_its_checkpoint(
    jobs: JobService, servers: list[FakeGenerator], error: Exception, losses: int
) -> None:
    lose_first(servers, error, losses)
    job = await jobs.submit(named())
    finished = await asyncio.wait_for(jobs.wait(job.spec.id), 20)
    assert finished.job.state.status == "completed"
    runs = [(number, resumed) for number, server in enumerate(servers) for resumed in server.resumed]
    assert len(runs) == losses + 1  # each on another server
    assert len({number for number, _ in runs}) == losses + 1
    assert [resumed for _, resumed in runs].count(None) == 1
    (first,) = (number for number, resumed in runs if resumed is None)
    if losses == 1:
        ((_, went_on_from),) = (run for run in runs if run[1] is not None)
        assert went_on_from == f"saved by {first}".encode()


async def test_where_all_are_lost_a_client_that_waits_is_told(jobs: JobService, servers: list[FakeGenerator]) -> None:
    lose_first(servers, EngineUnavailable("Triton cannot be reached"), 3)
    job = await jobs.submit(named())
    with pytest.raises(EngineUnavailable, match="Triton cannot be reached") as raised:
        await asyncio.wait_for(jobs.wait(job.spec.id), 20)
    assert type(raised.value) is EngineUnavailable
    assert sum(len(server.resumed) for server in servers) == 3


async def test_the_parts_of_a_job_run_on_different_servers_and_all_survive(
    jobs: JobService, servers: list[FakeGenerator]
) -> None:
    for server in servers:
        server.step_gate.clear()
    spec = video_spec(job_id="video_1", request_id="video_1", n=3)
    job = await jobs.submit(spec)
    await until(lambda: [len(server.jobs) for server in servers] == [1, 1, 1])
    for server in servers:
        server.step_gate.set()
    finished = await asyncio.wait_for(jobs.wait(job.spec.id), 20)
    assert len(finished.files) == 3
