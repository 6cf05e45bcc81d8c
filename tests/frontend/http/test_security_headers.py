from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.http.security_headers import security_headers
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve, client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.http.raw_client import RawClient
from tests.frontend.test_video_request import post


@pytest.fixture
def url(app: FastAPI, serve: Serve) -> Iterator[str]:
    with serve(app) as url:
        yield url


def are_set(response: httpx.Response) -> bool:
    expected = security_headers(response.request.url.path)
    return {name: response.headers.get(name) for name in expected} == expected


async def test_every_answer_has_them(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    assert are_set(await post(client))
    for path in ("/health/live", "/metrics", "/v1/models", "/openapi.json", "/docs", "/no/such/path"):
        assert are_set(await client.get(path)), path
    assert are_set(await client.get("/health", headers={"Host": "elsewhere"}))
    generator.error_for = lambda params: RuntimeError()
    failed = await post(client)
    assert failed.status_code == 500
    assert are_set(failed)


def test_what_cannot_be_read_is_answered_with_them_too(url: str) -> None:
    with RawClient(url) as client:
        answer = client.send(b"nonsense\r\n\r\n").answer()
    assert answer.status == 400
    for name, value in security_headers().items():
        assert answer.headers[name] == value


async def test_answers_are_data_that_runs_nothing(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/models")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "script-src" not in policy
    assert "frame-ancestors 'none'" in policy


@pytest.mark.parametrize("path", ["/docs", "/docs/docs.js", "/docs/none"])
async def test_the_documentation_is_made_of_files_of_this_server_alone(client: httpx.AsyncClient, path: str) -> None:
    policy = (await client.get(path)).headers["Content-Security-Policy"]
    directives = dict(part.split(" ", 1) for part in policy.split("; "))
    assert directives["default-src"] == "'none'"
    assert {directives[name] for name in ("script-src", "style-src", "connect-src")} == {"'self'"}
    assert directives["img-src"] == "'self' blob: data:"
    assert "unsafe" not in policy
    assert "http" not in policy


async def test_pages_of_allowed_origins_still_read_the_answers(generator: FakeGenerator) -> None:
    origin = "https://app.example.com"
    app = create_app(Settings(triton_metrics_url=NOWHERE, allowed_origins=origin), generator)
    async with client_of(app) as client:
        response = await client.get("/v1/models", headers={"Origin": origin})
        assert response.headers["Access-Control-Allow-Origin"] == origin
        assert are_set(response)
        assert "Cross-Origin-Resource-Policy" not in response.headers
