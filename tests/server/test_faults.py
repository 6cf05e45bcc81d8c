"""Processes are killed while a job runs: it survives or its client hears of it soon, and the server comes back."""

import asyncio
import time
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.waiting import until

from .grpc_client import GenerateError, generate, stream
from .running_server import RunningServer

PROMPT = "a red circle moving right on a black background"
LONG = {"prompt": PROMPT, "size": "128x128", "num_frames": 33, "num_inference_steps": 200}
SHORTER = {**LONG, "num_inference_steps": 60}
SOON = 20.0  # seconds
RETRY_SECONDS = 10.0
"""for how long `generate` tries a model that is away"""


async def kill_during_a_job(
    server: RunningServer, victim: psutil.Process, request: dict[str, Any] = LONG
) -> tuple[httpx.Response, float]:
    """The answer to a job whose server lost a process, and the seconds that it took after the kill."""
    steps = server.metric("step_seconds_count")
    async with httpx.AsyncClient(timeout=240) as client:
        job = asyncio.create_task(client.post(f"{server.url}/v1/videos/generations", json=request))
        while server.metric("step_seconds_count") <= steps + 1:
            assert not job.done(), job.result().text
            await asyncio.sleep(0.05)
        assert not job.done()
        victim.kill()
        killed = time.monotonic()
        return await job, time.monotonic() - killed


def shared_memory_regions(server: RunningServer) -> int:
    """How many regions the server's processes hold in /dev/shm."""
    prefix = server.stub("generate").cmdline()[2].rsplit("-", 4)[0][:-8]
    return len(list(Path("/dev/shm").glob(f"{prefix}*")))


@pytest.mark.parametrize(
    "model", ["wan_t2v_transformer", pytest.param("wan_t2v_transformer_2", marks=pytest.mark.long)]
)
async def test_a_job_survives_its_transformer(fragile_server: RunningServer, model: str) -> None:
    server = fragile_server
    server.wait_until_healthy(90)
    regions, crashes = shared_memory_regions(server), server.lock_crashes()

    response, _ = await kill_during_a_job(server, server.stub(model), SHORTER)

    if server.lock_crashes() > crashes:
        assert response.status_code == 503, response.text
        await back_to_work(server)
        return
    assert response.status_code == 200, response.text
    assert shared_memory_regions(server) == regions


@pytest.mark.parametrize("model", ["generate", "tritonserver"])
async def test_a_killed_process_fails_its_job_and_comes_back(fragile_server: RunningServer, model: str) -> None:
    server = fragile_server
    server.wait_until_healthy(90)
    regions = shared_memory_regions(server)
    victim = server.tritonserver() if model == "tritonserver" else server.stub(model)

    response, seconds = await kill_during_a_job(server, victim)

    assert seconds < SOON
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    error: dict[str, Any] = response.json()["error"]
    assert error["message"]
    assert "Traceback" not in error["message"]
    await back_to_work(server)
    assert shared_memory_regions(server) == regions
    assert server.metric("jobs_running") == 0


async def test_a_killed_frontend_comes_back(fragile_server: RunningServer) -> None:
    fragile_server.wait_until_healthy(90)
    fragile_server.process("-m frontend").kill()
    await back_to_work(fragile_server)


async def test_a_job_beside_a_dead_model_is_refused_with_a_reason_and_health_says_so(
    fragile_server: RunningServer,
) -> None:
    fragile_server.wait_until_healthy(90)
    fragile_server.tritonserver().kill()

    answers = [httpx.get(f"{fragile_server.url}/health", timeout=10) for _ in range(3)]

    assert any(answer.status_code == 503 for answer in answers)
    assert httpx.get(f"{fragile_server.url}/health/live").status_code == 200
    await back_to_work(fragile_server)


async def test_nobody_waits_longer_than_he_wants_for_a_model_that_stays_away(fragile_server: RunningServer) -> None:
    server = fragile_server
    server.wait_until_healthy(90)
    launcher = server.process("-m launcher")  # it would bring the model back
    launcher.suspend()
    try:
        server.stub("wan_text_encoder").kill()

        async with aclosing(stream(server.grpc, prompt=f"{PROMPT} {time.time()}")) as responses:
            await anext(responses)
            await until(lambda: server.metric("jobs_running") == 1)
        left = time.monotonic()
        await until(lambda: server.metric("jobs_running") == 0)
        assert time.monotonic() - left < RETRY_SECONDS / 2

        started = time.monotonic()
        with pytest.raises(GenerateError, match="deadline_exceeded"):
            await generate(server.grpc, prompt=f"{PROMPT} {time.time()}", timeout_seconds=1.0)
        assert time.monotonic() - started < RETRY_SECONDS / 2

        equal = {"prompt": f"{PROMPT} {time.time()}"}
        answers = await asyncio.gather(*(generate(server.grpc, **equal) for _ in range(3)), return_exceptions=True)
        assert [str(answer).split(":")[0] for answer in answers] == ["model_failed"] * 3
    finally:
        launcher.resume()
    await back_to_work(server)


async def back_to_work(server: RunningServer, seconds: float = 90) -> None:
    """The server makes videos again without help."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            response = server.post(prompt=PROMPT, num_inference_steps=2)
            if response.status_code == 200:
                return
            assert response.status_code == 503, response.text
        except httpx.TransportError:
            pass  # the frontend itself was the victim
        assert time.monotonic() < deadline, "the server did not come back"
        await asyncio.sleep(0.2)
