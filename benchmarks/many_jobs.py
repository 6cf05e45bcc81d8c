"""How fast the API answers while jobs wait and clients listen to them: `python -m benchmarks.many_jobs`."""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from launcher.background import BackgroundServer
from launcher.settings import PROJECT_ROOT

JOBS, LISTENERS, REQUESTS = 200, 50, 300
VIDEO = {"prompt": "a red circle", "size": "64x64", "num_frames": 9, "num_inference_steps": 100}
_ASYNC = {"Prefer": "respond-async"}


async def measure(url: str) -> None:
    """Print the milliseconds of the API's reads beside `JOBS` jobs that wait, which `LISTENERS` clients follow."""
    limits = httpx.Limits(max_connections=LISTENERS + 10)
    async with httpx.AsyncClient(base_url=url, timeout=60, limits=limits) as client:
        await _time(client, "/v1/models", "/v1/models, nothing to do")
        jobs = [await _create(client) for _ in range(JOBS)]
        async with _listeners(client, jobs[-LISTENERS:]) as heard:
            await asyncio.sleep(1)
            for path in ("/v1/models", f"/v1/videos/{jobs[0]}", f"/v1/videos/{jobs[-1]}", "/v1/videos?limit=20"):
                await _time(client, path, path.replace(jobs[0], "RUNNING").replace(jobs[-1], "WAITING"))
        print(f"{heard[0]} events were heard by {LISTENERS} listeners; {JOBS} jobs")
        for job in jobs:
            (await client.delete(f"/v1/videos/{job}")).raise_for_status()


async def _create(client: httpx.AsyncClient) -> str:
    answer = (await client.post("/v1/videos", json=VIDEO, headers=_ASYNC)).raise_for_status()
    return str(answer.json()["id"])


@asynccontextmanager
async def _listeners(client: httpx.AsyncClient, jobs: list[str]) -> AsyncIterator[list[int]]:
    """Clients that follow jobs; how many events they have heard."""
    heard = [0]

    async def listen(job: str) -> None:
        async with client.stream("GET", f"/v1/videos/{job}/events", timeout=None) as events:
            async for line in events.aiter_lines():
                heard[0] += line.startswith("event:")

    tasks = [asyncio.create_task(listen(job)) for job in jobs]
    try:
        yield heard
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _time(client: httpx.AsyncClient, path: str, what: str) -> None:
    seconds = []
    for _ in range(REQUESTS):
        started = time.perf_counter()
        (await client.get(path)).raise_for_status()
        seconds.append(time.perf_counter() - started)
    seconds.sort()
    median, slow = statistics.median(seconds), seconds[int(0.95 * len(seconds))]
    print(f"GET {what}: {1000 * median:.1f} ms at the median, {1000 * slow:.1f} ms for one in twenty")


def main() -> None:
    """Serve a repository, and measure it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many_jobs", description=__doc__)
    parser.add_argument("--model-repository", type=Path, default=PROJECT_ROOT / "toy_model_repository")
    repository = parser.parse_args().model_repository
    with tempfile.TemporaryDirectory() as folder, BackgroundServer(repository, Path(folder)) as server:
        asyncio.run(measure(server.url))


if __name__ == "__main__":
    main()
