"""Processes are stopped, a hang that nobody reports: /health says so, and the server works again without help."""

import asyncio
import time

import httpx
import psutil
import pytest

from .running_server import RunningServer
from .test_faults import LONG, SHORTER, back_to_work

TRUTH_SECONDS = 10.0
"""so long /health may go on saying that all is well"""


def victim_of(server: RunningServer, name: str) -> psutil.Process:
    match name:
        case "tritonserver":
            return server.tritonserver()
        case "frontend":
            return server.process("-m frontend")
        case model:
            return server.stub(model)


async def health_that_is_not_ok(server: RunningServer) -> httpx.Response | None:
    """The first answer other than 200, None where there is no answer at all."""
    deadline = time.monotonic() + TRUTH_SECONDS
    async with httpx.AsyncClient(timeout=5) as client:  # longer than /health itself waits for Triton
        while time.monotonic() < deadline:
            try:
                answer = await client.get(f"{server.url}/health")
            except httpx.TransportError:
                return None
            if answer.status_code != 200:
                return answer
            await asyncio.sleep(0.1)
    raise AssertionError(f"/health still says 200 after {TRUTH_SECONDS:.0f} s")


async def wait_until_it_runs(job: "asyncio.Task[httpx.Response]", server: RunningServer) -> None:
    while server.metric("jobs_running") == 0:
        assert not job.done(), job.result().text
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.3)
    assert not job.done(), job.result().text


def assert_nothing_is_stopped(server: RunningServer) -> None:
    for process in server.processes():
        try:
            assert process.status() != psutil.STATUS_STOPPED, process.cmdline()
        except psutil.NoSuchProcess:
            continue


@pytest.mark.parametrize("model", ["wan_text_encoder", "wan_vae"])
async def test_a_stopped_model_is_named_and_replaced(fragile_server: RunningServer, model: str) -> None:
    server = fragile_server
    server.wait_until_healthy(90)
    triton = server.tritonserver()
    victim_of(server, model).suspend()

    answer = await health_that_is_not_ok(server)

    assert answer is not None
    assert f"model {model}" in answer.json()["reason"]
    await back_to_work(server)
    assert server.tritonserver() == triton  # nothing else had to go
    assert_nothing_is_stopped(server)


async def test_a_job_survives_its_stopped_transformer(fragile_server: RunningServer) -> None:
    server = fragile_server
    server.wait_until_healthy(90)
    triton, crashes = server.tritonserver(), server.lock_crashes()
    async with httpx.AsyncClient(timeout=120) as client:
        job = asyncio.create_task(client.post(f"{server.url}/v1/videos/generations", json=SHORTER))
        await wait_until_it_runs(job, server)
        victim_of(server, "wan_t2v_transformer").suspend()
        answer = await health_that_is_not_ok(server)
        response = await job
    assert answer is not None
    assert "wan_t2v_transformer" in answer.json()["reason"]
    if server.lock_crashes() > crashes:
        assert response.status_code == 503, response.text
        await back_to_work(server)
        return
    assert response.status_code == 200, response.text
    assert server.tritonserver() == triton
    assert_nothing_is_stopped(server)


@pytest.mark.parametrize("name", ["generate", "tritonserver", "frontend"])
async def test_a_stopped_process_under_a_job_is_replaced(fragile_server: RunningServer, name: str) -> None:
    server = fragile_server
    server.wait_until_healthy(90)
    victim = victim_of(server, name)
    async with httpx.AsyncClient(timeout=60) as client:
        job = asyncio.create_task(client.post(f"{server.url}/v1/videos/generations", json=LONG))
        await wait_until_it_runs(job, server)
        victim.suspend()

        answer = await health_that_is_not_ok(server)

        if name == "frontend":
            assert answer is None
            with pytest.raises(httpx.TransportError):
                await job
        else:
            assert answer is not None
            assert answer.status_code == 503
            response = await job
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) >= 1
    await back_to_work(server)
    assert not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE
    assert_nothing_is_stopped(server)


async def test_all_at_once(fragile_server: RunningServer) -> None:
    server = fragile_server
    server.wait_until_healthy(90)
    for process in server.processes()[1:]:
        process.suspend()
    await health_that_is_not_ok(server)
    await back_to_work(server)
    assert_nothing_is_stopped(server)
