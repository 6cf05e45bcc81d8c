"""Creates that come again: with the same `Idempotency-Key`, or from an SDK that tries again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.http.api_keys import KeyFile
from frontend.settings import Settings
from protocol.errors import InvalidRequest, ModelFailed
from tests.frontend.conftest import NOWHERE, Serve, client_of
from tests.frontend.fake_generator import FakeGenerator, of_all_kinds
from tests.frontend.test_video_request import error_of
from tests.frontend.test_videos import data_uri, image_file
from tests.waiting import until

ROUTES = ["/v1/videos", "/v1/videos/generations", "/v1/videos/sync", "/v1/images/generations"]
RETRY = {"X-Stainless-Retry-Count": "1"}


@pytest.fixture
def generator() -> FakeGenerator:
    return of_all_kinds()


async def create(
    client: httpx.AsyncClient, key: str | None = None, *, path: str = "/v1/videos", **options: Any
) -> httpx.Response:
    headers = ({"Idempotency-Key": key} if key else {}) | options.pop("headers", {})
    return await client.post(path, json={"prompt": "x"} | options, headers=headers)


# Keys


@pytest.mark.parametrize("path", ROUTES)
async def test_a_create_that_is_repeated_is_answered_with_the_first_ones_result(
    client: httpx.AsyncClient, generator: FakeGenerator, path: str
) -> None:
    first, again = [await create(client, "order 66", path=path) for _ in range(2)]
    assert (first.status_code, again.content) == (200, first.content)
    assert len(generator.jobs) == 1
    await create(client, "order 67", path=path)
    assert len(generator.jobs) == 2


async def test_two_at_the_same_time_make_one_job(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    answers = await asyncio.gather(*(create(client, "a") for _ in range(5)))
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(generator.jobs) == 1


async def test_a_repeat_waits_for_the_job_that_runs(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    first = await create(client, "a", headers={"Prefer": "respond-async"})
    waiting = asyncio.create_task(create(client, "a"))
    await asyncio.sleep(0)
    generator.step_gate.set()
    again = (await waiting).json()
    assert (again["id"], again["status"]) == (first.json()["id"], "completed")


async def test_the_same_image_is_the_same_request(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    def body(width: int) -> dict[str, Any]:
        return {"input_reference": {"image_url": data_uri(image_file(width))}}

    assert (await create(client, "a", **body(64))).json()["id"] == (await create(client, "a", **body(64))).json()["id"]
    assert (await create(client, "a", **body(96))).status_code == 422


@pytest.mark.parametrize("other", [{"seed": 1}, {"path": "/v1/videos/generations"}])
async def test_a_key_is_for_one_request(client: httpx.AsyncClient, other: dict[str, Any]) -> None:
    await create(client, "a")
    response = await create(client, "a", **other)
    assert (response.status_code, error_of(response)["code"]) == (422, "idempotency_key_reused")
    assert error_of(response)["param"] == "Idempotency-Key"


@pytest.mark.parametrize("key", ["", "x" * 256, "ä"])
async def test_a_key_is_short_and_plain(client: httpx.AsyncClient, key: str) -> None:
    response = await client.post("/v1/videos", json={"prompt": "x"}, headers={b"Idempotency-Key": key.encode()})
    assert (response.status_code, error_of(response)["param"]) == (400, "Idempotency-Key")


async def test_what_failed_so_that_another_try_may_mend_it_is_tried_again(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    generator.error_for = lambda params: ModelFailed("wan_vae died")
    assert (await create(client, "a")).headers["X-Should-Retry"] == "true"
    generator.error_for = lambda params: InvalidRequest("must be odd", "width")
    assert (await create(client, "a")).headers["X-Should-Retry"] == "false"
    assert (await create(client, "a")).status_code == 400
    assert len(generator.jobs) == 2


async def test_a_key_survives_a_restart(generator: FakeGenerator, tmp_path: Path) -> None:
    settings = Settings(triton_metrics_url=NOWHERE, jobs=f"sqlite:///{tmp_path}/jobs.sqlite")
    answers = []
    for _ in range(2):
        app = create_app(settings, generator)
        async with app.router.lifespan_context(app), client_of(app) as client:
            answers.append((await create(client, "a")).json())
            assert (await client.get(answers[0]["url"])).status_code == 200
    assert answers[0] == answers[1]
    assert len(generator.jobs) == 1


# Retries of OpenAI's SDKs


async def test_an_equal_request_that_is_a_retry_finds_the_first_job(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    first = (await create(client)).json()["id"]
    assert (await create(client, headers=RETRY)).json()["id"] == first
    assert (await create(client, headers={"X-Stainless-Retry-Count": "0"})).json()["id"] != first
    assert (await create(client, headers=RETRY, seed=1)).json()["id"] != first
    assert len(generator.jobs) == 3


async def test_a_retry_of_what_failed_is_a_new_job(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    errors: list[Exception | None] = [ModelFailed("wan_vae died"), None]
    generator.error_for = lambda params: errors.pop(0)
    assert (await create(client)).status_code == 503
    assert (await create(client, headers=RETRY)).status_code == 200


@pytest.fixture
async def slow(serve: Serve, app: FastAPI, generator: FakeGenerator) -> AsyncIterator[str]:
    """The URL of a real server whose jobs do not end."""
    generator.step_gate.clear()
    with serve(app) as url:
        yield url
        generator.step_gate.set()


@pytest.mark.parametrize(
    "headers", [{"X-Stainless-Read-Timeout": "0.2"}, {"Idempotency-Key": "a", "X-Stainless-Read-Timeout": "600"}]
)
async def test_a_job_whose_client_has_run_out_of_time_is_there_when_it_tries_again(
    slow: str, app: FastAPI, generator: FakeGenerator, headers: dict[str, str]
) -> None:
    async with httpx.AsyncClient(base_url=slow) as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/v1/videos", json={"prompt": "x"}, headers=headers, timeout=1)
        again = await client.post("/v1/videos", json={"prompt": "x"}, headers=headers | RETRY | {"Prefer": "wait=0"})
        assert again.json()["status"] == "in_progress"
        ((request_id, _),) = generator.jobs.items()
        assert generator.cancelled == []
        await client.delete(f"/v1/videos/{again.json()['id']}")
        assert generator.cancelled == [request_id]


async def test_a_client_that_leaves_before_its_time_stops_its_job(slow: str, generator: FakeGenerator) -> None:
    async with httpx.AsyncClient(base_url=slow) as client:
        leaving = asyncio.create_task(
            client.post("/v1/videos", json={"prompt": "x"}, headers={"X-Stainless-Read-Timeout": "600"})
        )
        await until(lambda: len(generator.jobs) == 1)
        leaving.cancel()
        await until(lambda: len(generator.cancelled) == 1)


async def test_a_job_that_is_not_waited_for_does_not_stop_with_who_waits_for_it(
    slow: str, generator: FakeGenerator
) -> None:
    headers = {"Idempotency-Key": "a"}
    async with httpx.AsyncClient(base_url=slow) as client:
        created = await client.post("/v1/videos", json={"prompt": "x"}, headers=headers | {"Prefer": "respond-async"})
        with pytest.raises(httpx.ReadTimeout):
            await client.post("/v1/videos", json={"prompt": "x"}, headers=headers, timeout=0.5)
        video = (await client.get(f"/v1/videos/{created.json()['id']}")).json()
    assert video["status"] == "in_progress"
    assert generator.cancelled == []


# Owners


async def test_keys_of_different_owners_are_different(generator: FakeGenerator, tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    keys = [file.add(name) for name in ("ann", "bob")]
    async with client_of(create_app(Settings(triton_metrics_url=NOWHERE, keys_file=file.path), generator)) as client:
        for key in keys:
            bearer = {"Authorization": f"Bearer {key}"}
            for _ in range(2):
                assert (await create(client, "a", headers=bearer | RETRY)).status_code == 200
    assert len(generator.jobs) == 2
