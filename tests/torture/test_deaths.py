"""Processes are killed and stopped under nine jobs: every client gets an answer, and the server comes back."""

import asyncio
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from tests.server.running_server import RunningServer

from .conftest import Effort

KILLED, STOPPED = signal.SIGKILL, signal.SIGSTOP
DEATHS = (
    ("wan_t2v_transformer", KILLED),
    ("wan_t2v_transformer", STOPPED),
    ("generate", KILLED),
    ("tritonserver", KILLED),
    ("frontend", KILLED),
)
"""of each kind one; the others, which end in the same ways, take long"""
MORE_MODELS = ("wan_vae", "wan_text_encoder", "qwen_image_transformer")
MORE_DEATHS = (
    *(
        (model, number)
        for model in ("wan_vae", "wan_text_encoder", "qwen_image_transformer")
        for number in (KILLED, STOPPED)
    ),
    *((victim, STOPPED) for victim in ("generate", "tritonserver", "frontend")),
)
JOBS = 9
ANSWERED_WITHIN = 90.0
"""seconds; the machine may be busy"""


@pytest.fixture(scope="module")
def server(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with RunningServer(repository, tmp_path_factory.mktemp("deaths"), "--restart-limit", "1000") as running:
        yield running


async def answers(server: RunningServer, victim: str, number: signal.Signals) -> list[int]:
    """Statuses of nine jobs during which a process gets a signal; 0 for a connection that broke."""
    video = {"prompt": "a red circle", "model": "tiny-two-experts", "num_inference_steps": 100, "num_frames": 5}
    image = {"prompt": "a red circle", "num_inference_steps": 100}
    async with httpx.AsyncClient(timeout=ANSWERED_WITHIN) as client:

        async def ask(route: str, body: dict[str, object]) -> int:
            try:
                return (await client.post(f"{server.url}/v1/{route}/generations", json=body)).status_code
            except httpx.ReadTimeout:
                raise AssertionError("a client hangs") from None
            except httpx.TransportError:
                return 0

        bodies = [("videos", video)] * 6 + [("images", image)] * 3
        jobs = [asyncio.create_task(ask(route, body)) for route, body in bodies]
        await asyncio.sleep(1)
        process_of(server, victim).send_signal(number)
        return list(await asyncio.gather(*jobs))


def process_of(server: RunningServer, victim: str) -> psutil.Process:
    if victim == "tritonserver":
        return server.tritonserver()
    return server.process("-m frontend") if victim == "frontend" else server.stub(victim)


@pytest.mark.parametrize(
    ("victim", "number"), [*DEATHS, *(pytest.param(*death, marks=pytest.mark.long) for death in MORE_DEATHS)]
)
async def test_nobody_waits_for_ever(
    server: RunningServer, effort: Effort, victim: str, number: signal.Signals
) -> None:
    for _ in range(effort.kills):
        server.wait_until_healthy(120)

        statuses = await answers(server, victim, number)

        assert len(statuses) == JOBS
        allowed = {200, 503, 0} if victim == "frontend" else {200, 503}
        assert set(statuses) <= allowed, statuses
        await back_to_work(server)


async def back_to_work(server: RunningServer) -> None:
    deadline = time.monotonic() + 120
    async with httpx.AsyncClient(timeout=60) as client:
        while True:
            try:
                body = {"prompt": "again", "model": "tiny-two-experts", "num_inference_steps": 1}
                if (await client.post(f"{server.url}/v1/videos/generations", json=body)).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, "the server did not come back"
            await asyncio.sleep(0.2)
