"""What `/health` says."""

import asyncio

import httpx
import pytest
from fastapi import FastAPI

from frontend.errors import EngineFailed, EngineUnavailable, JobsUnavailable
from frontend.routes import health
from tests.frontend.fake_generator import FakeGenerator

READY = ["/health", "/health/ready"]


@pytest.mark.parametrize("path", [*READY, "/health/live"])
async def test_all_is_well(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert (response.status_code, response.json()) == (200, {"status": "ok"})


@pytest.mark.parametrize("error", [EngineUnavailable("'wan_vae' is not ready"), EngineFailed("'wan_vae' is not ready")])
async def test_without_triton_this_process_lives_and_is_not_ready(
    client: httpx.AsyncClient, generator: FakeGenerator, error: Exception
) -> None:
    generator.describe_error = error
    for path in READY:
        response = await client.get(path)
        assert response.status_code == 503
        assert response.json() == {"status": "unavailable", "reason": "'wan_vae' is not ready"}
    assert (await client.get("/health/live")).status_code == 200


async def test_a_database_of_jobs_that_is_away_is_the_reason(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away() -> None:
        raise JobsUnavailable("The server cannot reach the place where it keeps jobs; its log says why")

    monkeypatch.setattr(app.state.services.jobs, "counts", away)
    response = await client.get("/health")
    assert response.status_code == 503
    assert "cannot reach the place where it keeps jobs" in response.json()["reason"]


async def test_a_database_of_jobs_that_hangs_is_not_waited_for_long(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, "_DATABASE_SECONDS", 0.1)
    monkeypatch.setattr(app.state.services.jobs, "counts", asyncio.Event().wait)
    response = await client.get("/health")
    assert (response.status_code, response.json()["reason"]) == (503, "The database of jobs does not answer")


async def test_files_that_wait_for_their_upload_are_a_note(client: httpx.AsyncClient, app: FastAPI) -> None:
    app.state.services.storage.trouble = "the storage cannot be used (connection refused)"
    response = await client.get("/health")
    assert response.status_code == 200
    assert response.json()["note"] == (
        "files wait in the spool folder for their upload: the storage cannot be used (connection refused)"
    )
