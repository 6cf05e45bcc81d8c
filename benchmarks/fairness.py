"""How long a small video takes beside a large one, in denoising steps of the large one."""

import asyncio
import time

import httpx

from benchmarks.prompts import prompt
from launcher.background import BackgroundServer

LARGE = {"size": "832x480", "num_frames": 33, "num_inference_steps": 200}
SMALL = {"size": "64x64", "num_frames": 9}
_CALLS_PER_STEP = 2
"""of the large one: each guidance branch has a call of its own"""
_SMALL_VIDEOS = 3


async def steps_waited(server: BackgroundServer) -> float:
    """The longest of some small videos' times, relative to a step of the large one that runs all the time."""
    async with httpx.AsyncClient(base_url=server.url, timeout=None) as client:
        large = asyncio.create_task(client.post("/v1/videos/generations", json={"prompt": prompt(0), **LARGE}))
        try:
            calls = server.metric("step_seconds_count")
            started = await _when(server, calls + _CALLS_PER_STEP)
            step = await _when(server, calls + 2 * _CALLS_PER_STEP) - started
            seconds = []
            for i in range(_SMALL_VIDEOS):
                await asyncio.sleep(i * step / _SMALL_VIDEOS)  # at different moments of a step
                started = time.monotonic()
                response = await client.post("/v1/videos/generations", json={"prompt": prompt(i + 1), **SMALL})
                response.raise_for_status()
                seconds.append(time.monotonic() - started)
        finally:
            large.cancel()
    return max(seconds) / step


async def _when(server: BackgroundServer, calls: float) -> float:
    """The time at which this number of transformer calls is done."""
    while await asyncio.to_thread(server.metric, "step_seconds_count") < calls:
        await asyncio.sleep(0.02)
    return time.monotonic()
