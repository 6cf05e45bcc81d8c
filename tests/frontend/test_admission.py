"""The limits of the server and of API keys, as clients meet them."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.errors import RateLimited
from frontend.http.api_keys import KeyFile
from frontend.http.key_limits import KeyLimits
from frontend.rate_limiter import RateLimiter
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.waiting import until

URL = "/v1/videos/generations"
SMALL = {"prompt": "a fox", "width": 32, "height": 16, "num_frames": 5, "num_inference_steps": 2}


@pytest.fixture
def keys(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def app(keys: KeyFile, generator: FakeGenerator) -> FastAPI:
    settings = Settings(
        triton_metrics_url=NOWHERE, keys_file=keys.path, max_running_jobs=1, max_waiting_jobs=1, host="0.0.0.0"
    )
    keys.add("nobody")
    return create_app(settings, generator)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(app) as client:
        yield client


async def create(client: httpx.AsyncClient, key: str, url: str = URL, **fields: object) -> httpx.Response:
    return await client.post(url, json=SMALL | fields, headers={"Authorization": f"Bearer {key}"})


def refusal(response: httpx.Response) -> tuple[int, str, str]:
    """Status, code and Retry-After."""
    return response.status_code, response.json()["error"]["code"], response.headers["Retry-After"]


async def test_the_queue_is_bounded(client: httpx.AsyncClient, keys: KeyFile, generator: FakeGenerator) -> None:
    key = keys.add("ann")
    generator.step_gate.clear()
    first = asyncio.create_task(create(client, key))
    await until(lambda: len(generator.jobs) == 1)
    second = asyncio.create_task(create(client, key))
    app: FastAPI = client._transport.app  # type: ignore[attr-defined]
    await until(lambda: len(app.state.services.jobs._worker.places._waiting) == 1)
    for url in (URL, "/v1/videos"):
        refused = await create(client, key, url)
        assert refusal(refused) == (429, "queue_full", "5")
        assert "1 jobs wait, and 1 may" in refused.json()["error"]["message"]
    generator.step_gate.set()
    assert [(await task).status_code for task in (first, second)] == [200, 200]
    assert (await create(client, key)).status_code == 200
    assert len(generator.jobs) == 3


async def test_a_key_has_no_more_than_its_number_of_jobs(
    client: httpx.AsyncClient, keys: KeyFile, generator: FakeGenerator
) -> None:
    ann, ben = keys.add("ann", limits=KeyLimits(max_jobs=1)), keys.add("ben")
    generator.step_gate.clear()
    first = asyncio.create_task(create(client, ann))
    await until(lambda: len(generator.jobs) == 1)
    refused = await create(client, ann)
    assert refusal(refused) == (429, "too_many_jobs", "5")
    assert "The key ann has 1 unfinished jobs, and may have 1" in refused.json()["error"]["message"]
    others = asyncio.create_task(create(client, ben))
    generator.step_gate.set()
    assert [(await task).status_code for task in (first, others)] == [200, 200]
    assert (await create(client, ann)).status_code == 200


async def test_a_key_creates_no_more_than_its_number_per_minute(client: httpx.AsyncClient, keys: KeyFile) -> None:
    ann, ben = keys.add("ann", limits=KeyLimits(requests_per_minute=2)), keys.add("ben")
    assert [(await create(client, ann)).status_code for _ in range(2)] == [200, 200]
    refused = await create(client, ann)
    status, code, retry_after = refusal(refused)
    assert (status, code) == (429, "rate_limit_exceeded")
    assert 0 < int(retry_after) <= 60
    assert f"2 jobs per minute; the next one in {retry_after} s" in refused.json()["error"]["message"]
    assert (await client.get("/v1/models", headers={"Authorization": f"Bearer {ann}"})).status_code == 200
    assert (await create(client, ben)).status_code == 200
    keys.limit("ann", {"requests_per_minute": 3})
    assert (await create(client, ann)).status_code == 200


async def test_the_jobs_of_a_key_run_no_longer_than_its_seconds_per_day(
    client: httpx.AsyncClient, keys: KeyFile, app: FastAPI
) -> None:
    ann, ben = keys.add("ann", limits=KeyLimits(seconds_per_day=50)), keys.add("ben")
    assert (await create(client, ann)).status_code == 200
    metrics, store = app.state.services.metrics, app.state.services.jobs._store
    await until(lambda: 'tritonreel_key_job_seconds_total{key="ann"}' in metrics.text())
    await store._in_thread(lambda: store._table.usage.add("ann", time.time() - 24 * 3600, 100))  # yesterday
    await store.add_seconds("ann", 40)
    assert (await create(client, ann)).status_code == 200
    await store.add_seconds("ann", 10)
    for url in (URL, "/v1/videos"):
        refused = await create(client, ann, url)
        status, code, retry_after = refusal(refused)
        assert (status, code, refused.headers["X-Should-Retry"]) == (429, "insufficient_quota", "false")
        assert 0 < int(retry_after) <= 24 * 3600
        assert "may for 50 s per day (UTC)" in refused.json()["error"]["message"]
    assert (await create(client, ben)).status_code == 200
    keys.limit("ann", {"seconds_per_day": 60})
    assert (await create(client, ann)).status_code == 200


async def test_a_job_that_was_stopped_is_charged_and_one_that_waits_is_not(
    client: httpx.AsyncClient, keys: KeyFile, generator: FakeGenerator, app: FastAPI
) -> None:
    ann, ben = keys.add("ann"), keys.add("ben")
    generator.step_gate.clear()
    running = asyncio.create_task(create(client, ann))
    await until(lambda: len(generator.jobs) == 1)
    waiting = asyncio.create_task(create(client, ben))
    await asyncio.sleep(0.2)
    for task in (waiting, running):
        task.cancel()
    store = app.state.services.jobs._store

    async def used(owner: str) -> float:
        seconds: float = await store._in_thread(lambda: store._table.usage.seconds(owner, time.time()))
        return seconds

    async with asyncio.timeout(60):
        while await used("ann") < 0.2:
            await asyncio.sleep(0.01)
    assert await used("ben") == 0


async def test_what_is_not_read_is_not_counted(client: httpx.AsyncClient, keys: KeyFile) -> None:
    ann = keys.add("ann", limits=KeyLimits(requests_per_minute=1))
    assert (await create(client, ann, n="many")).status_code == 422
    assert (await create(client, ann)).status_code == 200


def test_a_request_is_taken_after_exactly_the_seconds_that_were_named() -> None:
    now = 100.0
    rates = RateLimiter(lambda: now)
    for at in (100.0, 110.5, 120.0):
        now = at
        rates.take("ann", 3)
    now = 130.0
    with pytest.raises(RateLimited) as refused:
        rates.take("ann", 3)
    assert refused.value.retry_after == 30
    now = 160.0
    rates.take("ann", 3)
    with pytest.raises(RateLimited) as refused:
        rates.take("ann", 3)
    assert refused.value.retry_after == 11
    with pytest.raises(RateLimited) as refused:  # a lower limit counts what a higher one has let in
        rates.take("ann", 1)
    assert refused.value.retry_after == 60
    rates.take("ben", 1)
