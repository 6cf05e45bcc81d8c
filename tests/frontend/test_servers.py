"""`/v1/servers`, and what several Triton servers look like from outside."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from sqlalchemy import make_url

from frontend.app import create_app
from frontend.errors import EngineUnavailable
from frontend.generators.pool import Pool
from frontend.http.api_keys import KeyFile
from frontend.jobs.drained_servers import DrainedServers
from frontend.jobs.schema import make_tables, open_engine
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, client_of, running, url_of
from tests.frontend.fake_generator import FakeGenerator, pool_of
from tests.model_cards import model_card
from tests.waiting import wait_until

VIDEO = "/v1/videos/generations"
ASK: dict[str, Any] = {"prompt": "a fox", "size": "64x48", "num_frames": 5, "num_inference_steps": 2}


@pytest.fixture
def generators() -> list[FakeGenerator]:
    """Servers a and b; b alone has the model `rare`."""
    return [FakeGenerator(), FakeGenerator([model_card(), model_card("rare")])]


@pytest.fixture
def pool(generators: list[FakeGenerator]) -> Pool:
    return pool_of(*generators)


@pytest.fixture
def app(settings: Settings, pool: Pool) -> FastAPI:
    return create_app(settings, pool)


async def listed(client: httpx.AsyncClient) -> dict[str, dict[str, Any]]:
    response = await client.get("/v1/servers")
    assert response.status_code == 200
    assert response.json()["object"] == "list"
    return {server.pop("name"): server for server in response.json()["data"]}


def says(**changes: object) -> dict[str, object]:
    healthy: dict[str, object] = {"object": "server", "healthy": True, "draining": False, "reason": None}
    return {**healthy, "models": ["toy-wan-t2v"], "running": 0, "outstanding_evaluations": 0, **changes}


async def test_servers_are_listed(client: httpx.AsyncClient, generators: list[FakeGenerator]) -> None:
    assert (await listed(client))["a"] == says(healthy=False, models=[])  # nobody has asked yet
    generators[1].describe_error = EngineUnavailable("Triton at b cannot be reached")
    assert (await client.get("/v1/models")).status_code == 200
    assert await listed(client) == {
        "a": says(),
        "b": says(healthy=False, models=[], reason="Triton at b cannot be reached"),
    }


async def test_a_lone_server_is_one_too(settings: Settings, generator: FakeGenerator) -> None:
    async with client_of(create_app(settings, generator)) as client:
        await client.get("/v1/models")
        assert await listed(client) == {"127.0.0.1:8001": says()}


async def test_a_drained_server_gets_no_jobs_until_it_is_resumed(
    client: httpx.AsyncClient, generators: list[FakeGenerator]
) -> None:
    response = await client.post("/v1/servers/a/drain")
    assert response.status_code == 200
    reason = "Triton at a is being drained and takes no new jobs"
    assert response.json() == {"name": "a"} | says(healthy=False, draining=True, reason=reason, models=[])
    for _ in range(4):
        assert (await client.post(VIDEO, json=ASK)).status_code == 200
    assert [len(one.jobs) for one in generators] == [0, 4]
    again = await client.post("/v1/servers/a/drain")
    assert again.json() == response.json()
    assert (await client.post("/v1/servers/a/resume")).json()["draining"] is False
    assert (await client.post("/v1/servers/a/resume")).status_code == 200
    await client.post("/v1/servers/b/drain")
    assert (await client.post(VIDEO, json=ASK)).status_code == 200
    assert [len(one.jobs) for one in generators] == [1, 4]


async def test_where_all_are_drained_the_server_is_not_ready(client: httpx.AsyncClient) -> None:
    for name in "ab":
        assert (await client.post(f"/v1/servers/{name}/drain")).status_code == 200
    for response in (await client.get("/health"), await client.get("/v1/models"), await client.post(VIDEO, json=ASK)):
        assert response.status_code == 503
        assert "Triton at a is being drained and takes no new jobs" in response.text


async def test_an_unknown_server_is_not_found(client: httpx.AsyncClient) -> None:
    for action in ("drain", "resume"):
        response = await client.post(f"/v1/servers/127.0.0.1:8001/{action}")
        assert response.status_code == 404
        error = response.json()["error"]
        assert (error["code"], error["param"]) == ("server_not_found", None)
        assert error["message"] == "there is no server '127.0.0.1:8001'; there are: a, b"


# Who may


async def test_only_administrators_may_where_keys_are_asked_for(tmp_path: Path, pool: Pool) -> None:
    file = KeyFile(tmp_path / "keys.json")
    plain, admin = file.add("plain"), file.add("admin", admin=True)
    ring = "a-key-of-the-environment"
    app = create_app(Settings(triton_metrics_url=NOWHERE, keys_file=file.path, api_key=SecretStr(ring)), pool)
    asked = [("GET", "/v1/servers"), ("POST", "/v1/servers/a/drain"), ("POST", "/v1/servers/a/resume")]
    async with client_of(app) as client:
        for method, path in asked:
            statuses = []
            for key in (None, "wrong", plain, admin, ring):
                headers = {"Authorization": f"Bearer {key}"} if key else {}
                response = await client.request(method, path, headers=headers)
                statuses.append(response.status_code)
                if key == plain:
                    assert response.json()["error"]["code"] == "insufficient_permissions"
                    assert "administrator" in response.json()["error"]["message"]
                    assert not any(endpoint.is_draining for endpoint in pool.endpoints)
            assert statuses == [401, 401, 403, 200, 200], path
            pool.drain(())


def test_they_are_documented(app: FastAPI) -> None:
    paths = app.openapi()["paths"]
    for path, method in (("", "get"), ("/{name}/drain", "post"), ("/{name}/resume", "post")):
        operation = paths[f"/v1/servers{path}"][method]
        assert {"200", "401", "403"} <= operation["responses"].keys()
        assert operation["security"] == [{"API key": []}]
        assert operation["tags"] == ["operations"]


# One API


async def test_models_of_all_servers_are_one_list(client: httpx.AsyncClient, generators: list[FakeGenerator]) -> None:
    models = [model["id"] for model in (await client.get("/v1/models")).json()["data"]]
    assert models == ["toy-wan-t2v", "rare"]
    assert (await client.post(VIDEO, json={**ASK, "model": "rare"})).status_code == 200
    assert [len(one.jobs) for one in generators] == [0, 1]


async def test_a_model_whose_server_is_away_is_unavailable_and_the_others_are_not(
    settings: Settings, generators: list[FakeGenerator], pool: Pool
) -> None:
    app = create_app(settings, pool)
    app.state.services.catalog._max_age = 0
    async with client_of(app) as client:
        await client.get("/v1/models")
        generators[1].describe_error = generators[1].refusal = EngineUnavailable("Triton at b cannot be reached")
        for response in (await client.post(VIDEO, json={**ASK, "model": "rare"}), await client.get("/v1/models/rare")):
            error = response.json()["error"]
            assert (response.status_code, error["code"]) == (503, "service_unavailable")
            assert error["message"] == "Triton at b cannot be reached"
            assert "Retry-After" in response.headers
        assert (await client.post(VIDEO, json={**ASK, "model": "unheard-of"})).status_code == 404
        assert (await client.post(VIDEO, json=ASK)).status_code == 200
        health = await client.get("/health")
        assert (health.status_code, health.json()["note"]) == (200, "Triton at b cannot be reached")
        generators[0].describe_error = EngineUnavailable("Triton at a cannot be reached")
        health = await client.get("/health")
        assert health.status_code == 503
        assert {"Triton at a cannot be reached", "Triton at b cannot be reached"} == set(
            health.json()["reason"].split("; ")
        )


async def test_metrics_tell_of_each_server(client: httpx.AsyncClient, generators: list[FakeGenerator]) -> None:
    generators[1].describe_error = EngineUnavailable("away")
    await client.get("/v1/models")
    await client.post("/v1/servers/a/drain")
    text = (await client.get("/metrics")).text
    for line in (
        'tritonreel_server_healthy{server="a"} 1.0',
        'tritonreel_server_healthy{server="b"} 0.0',
        'tritonreel_server_draining{server="a"} 1.0',
        'tritonreel_server_draining{server="b"} 0.0',
        'tritonreel_server_outstanding_evaluations{server="a"} 0.0',
    ):
        assert line in text.splitlines()


# Drained servers stay drained


@pytest.fixture
async def table(sqlite_jobs: str) -> AsyncIterator[DrainedServers]:
    engine = open_engine(make_url(sqlite_jobs))
    make_tables(engine)
    yield DrainedServers(engine)
    engine.dispose()


@pytest.fixture
def sqlite_jobs(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/jobs.sqlite"


def test_a_server_stays_drained_over_a_restart_and_others_are_told(
    settings: Settings, sqlite_jobs: str, table: DrainedServers
) -> None:
    kept = settings.model_copy(update={"jobs": SecretStr(sqlite_jobs)})
    with running(create_app(kept, pool_of(FakeGenerator(), FakeGenerator()))) as server:
        assert httpx.post(f"{url_of(server)}/v1/servers/b/drain").status_code == 200
    assert table.names() == {"b"}
    with running(create_app(kept, pool_of(FakeGenerator(), FakeGenerator()))) as server:
        url = f"{url_of(server)}/v1/servers"

        def drained() -> list[str]:
            return [one["name"] for one in httpx.get(url).json()["data"] if one["draining"]]

        assert drained() == ["b"]
        table.add("a")  # as another frontend does
        table.remove("b")
        wait_until(lambda: drained() == ["a"], seconds=30)
