"""How much more several tritonservers do than one."""

import asyncio
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import mean

import httpx
import pytest

from tests.frontend.jobs.frontend_process import Frontend
from tests.frontend.scripted_triton import Scripted
from tests.waiting import SECONDS

pytestmark = pytest.mark.long

EVALUATION_SECONDS = 0.1
STEPS = range(3, 10)
"""of one job after the other; were they equal, all would end at the same moments, and the servers wait for new ones"""
JOBS = 120
CLIENTS = 24


async def jobs_per_second(url: str) -> float:
    """Of clients that ask for one video after the other."""
    places = asyncio.Semaphore(CLIENTS)
    body = {"prompt": f"evaluated in {EVALUATION_SECONDS}", "num_frames": 1}

    async def ask(client: httpx.AsyncClient, number: int) -> None:
        fields = body | {"num_inference_steps": STEPS[number % len(STEPS)]}
        async with places:
            answer = await client.post("/v1/videos/generations", json=fields)
            assert answer.status_code == 200, answer.text

    async with httpx.AsyncClient(base_url=url, timeout=SECONDS, limits=httpx.Limits(max_connections=CLIENTS)) as client:
        await asyncio.gather(*(ask(client, number) for number in range(6)))
        began = time.monotonic()
        await asyncio.gather(*(ask(client, number) for number in range(JOBS)))
        return JOBS / (time.monotonic() - began)


async def test_three_servers_serve_nearly_three_times_the_jobs_of_one(tmp_path: Path) -> None:
    """Their models take a fixed time, whatever else the machine does."""
    tritons = [Scripted(tmp_path / str(number)) for number in range(3)]
    rates = []
    with ExitStack() as stack:
        for triton in tritons:
            stack.callback(triton.server.kill)
            triton.server.start()
        for count in (1, 3):
            folder = tmp_path / f"frontend-{count}"
            folder.mkdir()
            urls = ",".join(triton.url for triton in tritons[:count])
            frontend = Frontend(folder, urls, f"sqlite:///{folder}/jobs.sqlite")
            stack.callback(frontend.kill)
            frontend.start()
            rates.append(await jobs_per_second(frontend.url))
            frontend.stop()
    print(f"jobs per second of one server and of three: {rates[0]:.2f}, {rates[1]:.2f}")
    assert rates[0] > 0.8 / (mean(STEPS) * EVALUATION_SECONDS)  # or else it is not the models that take the time
    assert rates[1] >= 2.8 * rates[0]
