import io
import json
import logging
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message, Scope

from frontend.app import create_app
from frontend.http.api_keys import KeyFile
from frontend.http.authentication import KeyMiddleware
from frontend.http.key_ring import KeyRing
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve, client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.http.raw import ask
from tests.frontend.test_video_request import URL

OPEN = ["/health", "/health/live", "/health/ready"]
GUARDED = [
    "/v1/models",
    "/v1/loras",
    "/v1/videos/video_1",
    "/metrics",
    "/page",
    "/docsother",
    "/redoc",
    "/page",
    "/openapi.json",
    "/nowhere",
]
GUARDED += ["/health/", "/health/other", "/%2Fhealth", "/health/../v1/models", "/HEALTH", "/health%2f..%2fmetrics"]


@pytest.fixture
def file(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "keys.json")


@pytest.fixture
def key(file: KeyFile) -> str:
    return file.add("laptop")


@pytest.fixture
def settings(file: KeyFile) -> Settings:
    return Settings(triton_metrics_url=NOWHERE, keys_file=file.path)


@pytest.fixture
def app(key: str, settings: Settings, generator: FakeGenerator) -> FastAPI:
    return create_app(settings, generator)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


@pytest.mark.parametrize("path", GUARDED)
async def test_without_a_key_nothing_is_answered(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path, headers={"X-Request-Id": "me"})
    assert (response.status_code, response.headers["X-Request-Id"]) == (401, "me")
    assert response.headers["WWW-Authenticate"] == "Bearer"
    error = response.json()["error"]
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", None, "invalid_api_key")
    assert "Authorization: Bearer" in error["message"]


@pytest.mark.parametrize("path", OPEN)
async def test_probes_need_none(client: httpx.AsyncClient, path: str) -> None:
    for headers in ({}, bearer("wrong")):
        response = await client.get(path, headers=headers)
        assert (response.status_code, response.json()) == (200, {"status": "ok"})


async def test_the_documentation_is_open_and_asks_for_the_key_itself(client: httpx.AsyncClient) -> None:
    for path in ("/docs", "/docs/docs.js", "/docs/swagger-ui.css"):
        assert (await client.get(path)).status_code == 200
    assert "sessionStorage" in (await client.get("/docs/docs.js")).text


async def test_with_a_key_everything_is(client: httpx.AsyncClient, key: str) -> None:
    for path in ("/v1/models", "/v1/loras", "/metrics", "/docs", "/openapi.json"):
        assert (await client.get(path, headers=bearer(key))).status_code == 200
    assert (await client.get("/nowhere", headers=bearer(key))).status_code == 404
    assert (await client.post(URL, json={"prompt": "x"}, headers=bearer(key))).status_code == 200


async def test_no_job_is_made_without(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    for headers in ({}, bearer("tr_" + "a" * 43)):
        assert (await client.post(URL, json={"prompt": "x"}, headers=headers)).status_code == 401
    assert generator.jobs == {}


async def test_a_key_must_stand_in_its_place(client: httpx.AsyncClient, key: str) -> None:
    wrong = [
        *({"Authorization": value} for value in ("", "Bearer", "Bearer ", key, f"Basic {key}", f"Bearer{key}")),
        *({"Authorization": value} for value in (f"Bearer {key} {key}", f"Bearer {key}, x", f"Bearer={key}")),
        *({"Authorization": f"Bearer {value}"} for value in (key[:-1], f"{key}a", key.swapcase(), f'"{key}"')),
        *({name: key} for name in ("X-Api-Key", "Api-Key", "Cookie", "Proxy-Authorization")),
    ]
    for headers in wrong:
        assert (await client.get("/v1/models", headers=headers)).status_code == 401, headers
    assert (await client.get("/v1/models", params={"api_key": key})).status_code == 401
    twice = [("Authorization", f"Bearer {key}")] * 2
    assert (await client.get("/v1/models", headers=twice)).status_code == 401
    for right in (f"Bearer {key}", f"bearer {key}", f"BEARER   {key}"):
        assert (await client.get("/v1/models", headers={"Authorization": right})).status_code == 200


async def test_keys_come_and_go_while_it_runs(client: httpx.AsyncClient, file: KeyFile, key: str) -> None:
    phone = file.add("phone")
    assert (await client.get("/v1/models", headers=bearer(phone))).status_code == 200
    file.revoke("laptop")
    assert (await client.get("/v1/models", headers=bearer(key))).status_code == 401
    file.revoke("phone")
    for headers in ({}, bearer(phone)):
        assert (await client.get("/v1/models", headers=headers)).status_code == 401


async def test_the_first_key_closes_an_open_server(file: KeyFile, settings: Settings, generator: FakeGenerator) -> None:
    async with client_of(create_app(settings, generator)) as client:
        assert (await client.get("/v1/models")).status_code == 200
        key = file.add("laptop")
        assert (await client.get("/v1/models")).status_code == 401
        assert (await client.get("/v1/models", headers=bearer(key))).status_code == 200


async def test_a_key_of_the_environment(monkeypatch: pytest.MonkeyPatch, generator: FakeGenerator) -> None:
    monkeypatch.setenv("TRITONREEL_API_KEY", "a-key-for-a-container")
    settings = Settings(triton_metrics_url=NOWHERE)
    assert "container" not in repr(settings)
    async with client_of(create_app(settings, generator)) as client:
        assert (await client.get("/v1/models")).status_code == 401
        assert (await client.get("/v1/models", headers=bearer("a-key-for-a-container"))).status_code == 200


async def test_no_auth_asks_for_none(key: str, settings: Settings, generator: FakeGenerator) -> None:
    app = create_app(settings.model_copy(update={"no_auth": True, "host": "0.0.0.0"}), generator)
    async with client_of(app) as client:
        for headers in ({}, bearer("wrong")):
            assert (await client.get("/v1/models", headers=headers)).status_code == 200


async def test_a_broken_file_lets_nobody_in(
    client: httpx.AsyncClient, file: KeyFile, key: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = file.path.read_text()
    file.path.write_text("{")
    for headers in ({}, bearer(key), bearer(key)):
        response = await client.get("/v1/models", headers=headers)
        assert (response.status_code, response.json()["error"]["code"]) == (503, "keys_unavailable")
        assert int(response.headers["Retry-After"]) > 0
        assert str(file.path) not in response.text
    assert [str(file.path) in record.getMessage() for record in caplog.records].count(True) == 1
    assert (await client.get("/health")).status_code == 200
    file.path.write_text(good)
    assert (await client.get("/v1/models", headers=bearer(key))).status_code == 200


# Where others can come from


@pytest.mark.parametrize(
    ("local", "open_to_all"),
    [
        (("127.0.0.1", 8000), True),
        (("127.9.9.9", 8000), True),
        (("::1", 8000), True),
        (("::ffff:127.0.0.1", 8000), True),
        (("192.168.1.5", 8000), False),
        (("::ffff:192.168.1.5", 8000), False),
        (("fe80::1%eth0", 8000), False),
        (("/run/tritonreel.sock", None), False),
        (None, False),
    ],
)
async def test_no_keys_are_enough_for_this_machine_alone(
    file: KeyFile, local: tuple[str, int | None] | None, open_to_all: bool
) -> None:
    """Whatever address the server was told that it binds."""
    for kind in ("http", "websocket"):
        scope: Scope = {"type": kind, "method": "GET", "path": "/v1/models", "server": local, "headers": []}
        assert await reached(scope, KeyRing(file, None)) is open_to_all


async def test_web_sockets_need_a_key_too(file: KeyFile, key: str) -> None:
    keys = KeyRing(file, None)
    scope: Scope = {"type": "websocket", "path": "/health", "server": ("127.0.0.1", 8000), "headers": []}
    assert not await reached(scope, keys)
    assert await reached({**scope, "headers": [(b"authorization", f"Bearer {key}".encode())]}, keys)


async def reached(scope: Scope, keys: KeyRing) -> bool:
    """Whether the application behind the middleware is."""
    scopes: list[Scope] = []
    sent: list[Message] = []

    async def app(scope: Scope, receive: object, send: object) -> None:
        scopes.append(scope)

    async def receive() -> Message:
        raise AssertionError("a refusal reads nothing")

    async def send(message: Message) -> None:
        sent.append(message)

    await KeyMiddleware(app, keys=keys)(scope, receive, send)
    assert bool(sent) != bool(scopes)
    return bool(scopes)


# What is written down


@pytest.fixture
def written() -> io.StringIO:
    """What the server's own log handler writes."""
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream := io.StringIO())
    return stream


async def test_the_log_has_the_name_of_the_key_and_never_the_key(
    client: httpx.AsyncClient, generator: FakeGenerator, key: str, written: io.StringIO
) -> None:
    generator.error_for = lambda params: RuntimeError("the cause") if params.prompt == "bad" else None
    await client.post(URL, json={"prompt": "x"}, headers=bearer(key))
    await client.post(URL, json={"prompt": "bad"}, headers=bearer(key))
    await client.get("/v1/models", headers=bearer(key + "a"))
    await client.get("/v1/models", headers={"Authorization": key})
    await client.get("/health", headers=bearer(key))
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    requests = [(line["status"], line.get("key")) for line in lines if line["event"] == "request"]
    assert requests == [(200, "laptop"), (500, "laptop"), (401, None), (401, None), (200, None)]
    assert key not in written.getvalue()


async def test_an_answer_never_has_the_key(client: httpx.AsyncClient, key: str) -> None:
    for value in (f"Bearer {key}a", key):
        response = await client.get("/v1/models", headers={"Authorization": value})
        assert key not in response.text + str(response.headers)


async def test_a_refusal_is_counted(client: httpx.AsyncClient, key: str) -> None:
    await client.get("/v1/models")
    counted = 'tritonreel_http_requests_total{method="GET",route="none",status="401"} 1.0'
    assert counted in (await client.get("/metrics", headers=bearer(key))).text


# As bytes, over a socket


def test_hostile_heads(serve: Serve, app: FastAPI, key: str) -> None:
    with serve(app) as url:
        for lines, status in [
            ([f"Authorization: Bearer {key}"], 200),
            ([f"aUTHORIZATION:\tbearer {key} "], 200),
            (["Authorization: Bearer \xff\xfe"], 401),
            (["Authorization: Bearer " + "a" * 8000], 401),
            ([f"Authorization: Bearer {key}", "Authorization: Bearer x"], 401),
            (["Authorization: Bearer x", f"Authorization: Bearer {key}"], 401),
            ([f"Authorization: Bearer\t{key}"], 401),
            ([f"Authorization : Bearer {key}"], 400),
        ]:
            assert ask(url, "GET /v1/models HTTP/1.1", "Host: localhost", *lines).status == status, lines
        for target in ("/health%00", "/health?x", "/healt%68", "/health;/../v1/models", "http://localhost/health"):
            status = ask(url, f"GET {target} HTTP/1.1", "Host: localhost").status
            assert status == {"/health?x": 200, "/healt%68": 200, "http://localhost/health": 421}.get(target, 401)


def test_a_refusal_does_not_wait_for_the_body(serve: Serve, app: FastAPI) -> None:
    with serve(app) as url:
        assert ask(url, f"POST {URL} HTTP/1.1", "Host: localhost", "Content-Length: 1000").status == 401


# What the documentation says


async def test_the_documentation_asks_for_a_key_where_the_server_does(app: FastAPI) -> None:
    schema = app.openapi()
    assert schema["components"]["securitySchemes"]["API key"]["scheme"] == "bearer"
    for path, operations in schema["paths"].items():
        for operation in operations.values():
            assert ("security" in operation) is (path not in [*OPEN, "/"]), path
            assert {"400", "403", "421"} <= operation["responses"].keys(), path
            assert ("401" in operation["responses"]) is (path not in [*OPEN, "/"]), path
