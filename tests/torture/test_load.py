"""More than the server can do: it refuses at once what it cannot take, stops what nobody waits for, and stays flat."""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Iterable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.server.running_server import RunningServer
from tests.waiting import until

from .conftest import Effort

RUNNING, WAITING = 16, 24
"""jobs that the frontend takes here"""
VIDEO = {"prompt": "a red circle", "model": "tiny-two-experts", "num_frames": 5}


@pytest.fixture
def bounded_server(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningServer]:
    monkeypatch.setenv("TRITONREEL_MAX_RUNNING_JOBS", str(RUNNING))
    monkeypatch.setenv("TRITONREEL_MAX_WAITING_JOBS", str(WAITING))
    with RunningServer(repository, tmp_path) as running:
        yield running


def client_of_many() -> httpx.AsyncClient:
    return httpx.AsyncClient(timeout=300, limits=httpx.Limits(max_connections=200))


async def statuses_of(requests: Iterable[Awaitable[int]]) -> Counter[int]:
    """How often each status came, of requests at the same time."""
    return Counter(await asyncio.gather(*requests))


async def test_a_hundred_are_served_though_generate_takes_forty(server: RunningServer) -> None:
    async def ask(client: httpx.AsyncClient) -> int:
        body = VIDEO | {"num_inference_steps": 2, "n": 4}
        return (await client.post(f"{server.url}/v1/videos/generations", json=body)).status_code

    async with client_of_many() as client:
        assert await statuses_of(ask(client) for _ in range(100)) == {200: 100}


async def test_forty_of_a_hundred_are_served_and_sixty_are_told_at_once(bounded_server: RunningServer) -> None:
    served = 0
    served_before: list[int] = []
    """each refusal"""
    made = 0.0

    async def ask(client: httpx.AsyncClient) -> int:
        nonlocal made, served
        body = VIDEO | {"num_inference_steps": 200}
        response = await client.post(f"{bounded_server.url}/v1/videos/generations", json=body)
        if response.status_code == 429:
            assert int(response.headers["retry-after"]) >= 1
            served_before.append(served)
            made = bounded_server.metric("job_seconds_count")
        served += response.status_code == 200
        return response.status_code

    async with client_of_many() as client:
        first = [asyncio.create_task(ask(client)) for _ in range(RUNNING)]
        came = ("jobs_running", "jobs_waiting", "job_seconds_count")
        await until(lambda: sum(map(bounded_server.metric, came)) >= RUNNING)
        statuses = await statuses_of([*first, *(ask(client) for _ in range(100 - RUNNING))])

    assert statuses[200] + statuses[429] == 100
    # places that became free before the last refusal were used
    assert RUNNING + WAITING <= statuses[200] <= RUNNING + WAITING + made
    assert statistics.median(served_before) < served / 2


async def test_nothing_is_evaluated_for_clients_that_left(server: RunningServer) -> None:
    body = VIDEO | {"num_inference_steps": 200, "width": 96, "height": 96, "num_frames": 9}
    async with httpx.AsyncClient(timeout=60) as client:
        jobs = [asyncio.create_task(client.post(f"{server.url}/v1/videos/generations", json=body)) for _ in range(20)]
        while server.metric("jobs_running") == 0:
            await asyncio.sleep(0.05)
        for job in jobs:
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
    await until(lambda: server.metric("jobs_running") + server.metric("jobs_waiting") == 0, seconds=30)

    evaluated = server.metric("step_seconds_count")
    await asyncio.sleep(1)
    assert server.metric("step_seconds_count") == evaluated


class Footprint:
    """What the server holds of memory, descriptors, threads and shared memory."""

    def __init__(self, server: RunningServer) -> None:
        processes = [process for process in server.processes() if process.status() != psutil.STATUS_ZOMBIE]
        self.resident = sum(process.memory_info().rss for process in processes)
        self.descriptors = sum(process.num_fds() for process in processes)
        self.threads = sum(process.num_threads() for process in processes)
        self.shared = sum(file.stat().st_size for file in Path("/dev/shm").glob("tritonreel_*"))

    def __repr__(self) -> str:
        return (
            f"{self.resident / 2**20:.0f} MiB, {self.descriptors} descriptors, {self.threads} threads, "
            f"{self.shared / 2**20:.0f} MiB shared"
        )


async def test_mixed_work_leave_the_server_as_it_was(server: RunningServer, effort: Effort) -> None:
    await soak(server, seconds=5)  # whatever is loaded when first used is loaded
    before = Footprint(server)

    served = await soak(server, effort.soak_seconds)

    await asyncio.sleep(2)
    after = Footprint(server)
    assert served > 10
    assert after.resident < before.resident * 1.5, (before, after)
    assert after.descriptors < before.descriptors + 50, (before, after)
    assert after.threads < before.threads + 50, (before, after)
    assert after.shared < before.shared * 1.5 + 64 * 2**20, (before, after)


async def soak(server: RunningServer, seconds: float) -> int:
    """Six clients that ask for this and that, of which some leave early; how many were served."""
    served = 0
    end = time.monotonic() + seconds

    async def work(seed: int) -> None:
        nonlocal served
        rng = random.Random(seed)
        async with httpx.AsyncClient(timeout=60) as client:
            while time.monotonic() < end:
                route, body = _something(rng)
                patience = rng.choice([60, 60, 60, 0.2])
                try:
                    response = await client.post(f"{server.url}{route}", json=body, timeout=patience)
                except httpx.TimeoutException:  # of a busy machine while it connects, too
                    assert patience < 60, "a client hangs"
                    continue
                assert response.status_code in (200, 400, 422, 429), response.text
                served += response.status_code == 200

    await asyncio.gather(*(work(seed) for seed in range(6)))
    return served


def _something(rng: random.Random) -> tuple[str, dict[str, Any]]:
    size = {"width": rng.choice([32, 48, 64, 96]), "height": rng.choice([32, 64])}
    common = {"prompt": f"a circle {rng.randrange(50)}", "num_inference_steps": rng.choice([1, 2, 8]), **size}
    return rng.choice(
        [
            ("/v1/videos/generations", {**common, "model": "tiny-two-experts", "num_frames": rng.choice([1, 5, 9])}),
            ("/v1/images/generations", {**common, "n": rng.choice([1, 3])}),
            ("/v1/videos/generations", {**common, "size": "nonsense"}),
            ("/v1/images/generations", {**common, "lora": "nothing"}),
        ]
    )


@pytest.mark.usefixtures("survives")
async def test_equal_prompts_of_many_clients_are_all_served(server: RunningServer) -> None:
    async with httpx.AsyncClient(timeout=120) as client:
        body = {"prompt": "the same for all", "num_inference_steps": 2, "seed": 5}
        responses = await asyncio.gather(
            *(client.post(f"{server.url}/v1/images/generations", json=body) for _ in range(20))
        )
    assert {response.status_code for response in responses} == {200}
    assert len({response.json()["data"][0]["b64_json"] for response in responses}) <= 2  # batches differ by a rounding
