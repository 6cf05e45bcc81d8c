"""DNS rebinding: a page whose name is made to resolve to this machine must not be answered."""

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message, Scope

from frontend.app import create_app
from frontend.http.hosts import HostMiddleware
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve, client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.http.raw import ask
from tests.frontend.test_video_request import URL

PATHS = ["/health", "/health/live", "/health/ready", "/metrics", "/docs", "/openapi.json", "/v1/models", "/nowhere"]


def app_with(generator: FakeGenerator, **settings: object) -> FastAPI:
    return create_app(Settings.model_validate({"triton_metrics_url": NOWHERE, "no_auth": True} | settings), generator)


async def statuses_at(*names: str, **settings: object) -> set[int]:
    """Of /health, asked for at 127.0.0.1 by these names."""
    async with client_of(app_with(FakeGenerator(), **settings)) as client:
        return {(await client.get("/health", headers={"Host": name})).status_code for name in names}


async def test_it_is_known_by_the_names_of_loopback() -> None:
    names = ["localhost", "LOCALHOST:8000", "localhost.", "127.0.0.1", "127.0.0.1:9000", "127.8.9.10", "[::1]:8000"]
    assert await statuses_at(*names) == {200}


async def test_it_is_known_by_no_other() -> None:
    names = [
        *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example", "evillocalhost"),
        *("a.localhost", "127-0-0-1.evil.example", "10.1.2.3", "192.168.1.5:8000", "0.0.0.0:8000", "[fe80::1]"),
        *("[::]:8000", "8.8.8.8", "169.254.169.254", "0x7f000001", "localhost.localdomain"),
    ]
    assert await statuses_at(*names) == {421}


@pytest.mark.parametrize("path", PATHS)
async def test_no_path_is_answered_to_a_rebound_page(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path, headers={"Host": "evil.example:8000", "X-Request-Id": "me"})
    assert (response.status_code, response.headers["X-Request-Id"]) == (421, "me")
    error = response.json()["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", "misdirected_request")
    assert "'evil.example'" in error["message"]
    assert "--allowed-host" in error["message"]
    assert "TRITONREEL_ALLOWED_HOSTS" in error["message"]


async def test_no_job_is_made_for_one(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    response = await client.post(URL, json={"prompt": "x"}, headers={"Host": "evil.example"})
    assert response.status_code == 421
    assert generator.jobs == {}


async def test_a_refusal_is_counted(client: httpx.AsyncClient) -> None:
    await client.get("/v1/models", headers={"Host": "evil.example"})
    counted = 'tritonreel_http_requests_total{method="GET",route="none",status="421"} 1.0'
    assert counted in (await client.get("/metrics")).text


async def test_names_can_be_allowed() -> None:
    allowed = "video.example.com, 10.0.0.7 fe80::7"
    names = ["video.example.com", "Video.Example.Com.:8443", "10.0.0.7:8000", "[fe80::7]", "localhost"]
    assert await statuses_at(*names, allowed_hosts=allowed) == {200}
    assert await statuses_at("example.com", "a.video.example.com", "10.0.0.8", allowed_hosts=allowed) == {421}


@pytest.mark.parametrize(
    ("bound", "host"),
    [("0.0.0.0", "0.0.0.0:8000"), ("::", "[::]:8000"), ("192.168.1.5", "192.168.1.5"), ("Studio.lan", "studio.lan:80")],
)
async def test_it_is_known_by_what_it_binds(bound: str, host: str) -> None:
    assert await statuses_at(host, host=bound) == {200}
    assert await statuses_at(host) == {421}


@pytest.mark.parametrize(
    ("local", "host"),
    [
        ("192.168.1.5", "192.168.1.5:8000"),
        ("::ffff:192.168.1.5", "192.168.1.5"),
        ("fd00::5", "[fd00:0::5]:8000"),
        ("fe80::1%eth0", "[fe80::1]"),
    ],
)
async def test_it_is_known_by_the_address_that_the_connection_was_made_to(local: str, host: str) -> None:
    """An address cannot be rebound, and bound to 0.0.0.0 the server has several."""
    assert await reached(scope_of(host, server=(local, 8000)))
    assert not await reached(scope_of("evil.example", server=(local, 8000)))
    assert not await reached(scope_of("192.168.1.6", server=(local, 8000)))


@pytest.mark.parametrize("server", [None, ("/run/tritonreel.sock", None)])
async def test_on_a_unix_socket_it_is_known_by_its_names_alone(server: tuple[str, None] | None) -> None:
    assert await reached(scope_of("localhost", server=server))
    assert not await reached(scope_of("192.168.1.5", server=server))


def scope_of(*hosts: str, **entries: object) -> Scope:
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "server": ("127.0.0.1", 8000)}
    return {**scope, "headers": [(b"host", host.encode()) for host in hosts], **entries}


async def reached(scope: Scope) -> bool:
    """Whether the application behind the middleware is."""
    scopes: list[Scope] = []
    sent: list[Message] = []

    async def app(scope: Scope, receive: object, send: object) -> None:
        scopes.append(scope)

    async def receive() -> Message:
        raise AssertionError("a refusal reads nothing")

    async def send(message: Message) -> None:
        sent.append(message)

    await HostMiddleware(app, bound="127.0.0.1", allowed=())(scope, receive, send)
    assert bool(sent) != bool(scopes)
    return bool(scopes)


async def test_exactly_one_host_must_be_named() -> None:
    assert await reached(scope_of("localhost"))
    assert not await reached(scope_of())
    assert not await reached(scope_of("localhost", "localhost"))
    assert not await reached(scope_of("localhost", "evil.example"))
    both = scope_of("localhost")
    both["headers"].append((b":authority", b"evil.example"))
    assert not await reached(both)


async def test_web_sockets_are_refused_alike() -> None:
    assert await reached(scope_of("localhost", type="websocket", scheme="ws"))
    assert not await reached(scope_of("evil.example", type="websocket", scheme="ws"))
    assert not await reached(scope_of(type="websocket", scheme="ws"))


# As bytes, over a socket


@pytest.fixture(scope="module")
def url(serve: Serve) -> Iterator[str]:
    with serve(app_with(FakeGenerator())) as url:
        yield url


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["GET /health HTTP/1.1", "Host: localhost"], 200),
        (["GET /health HTTP/1.0", "Host: localhost"], 200),
        (["GET /health HTTP/1.1", "hOsT:\t127.0.0.1:1 "], 200),
        (["GET /health HTTP/1.1", "Host: evil.example"], 421),
        (["GET /health HTTP/1.1", "Host: evil.example", "X-Forwarded-Host: localhost"], 421),
        (["GET /health HTTP/1.1", "Host: evil.example", "Forwarded: host=localhost"], 421),
        (["GET /health HTTP/1.1", "A: b"], 400),
        (["GET /health HTTP/1.0", "A: b"], 400),
        (["GET /health HTTP/1.1", "Host: localhost", "Host: localhost"], 400),
        (["GET /health HTTP/1.1", "Host: localhost", "Host: evil.example"], 400),
        (["GET /health HTTP/1.0", "Host: evil.example", "Host: localhost"], 400),
        (["GET /health HTTP/1.1", "Host:"], 400),
        (["GET /health HTTP/1.1", "Host: 127.0.0.1@evil.example"], 400),
        (["GET /health HTTP/1.1", "Host: evil.example, localhost"], 400),
        (["GET /health HTTP/1.1", "Host: localhost\xff"], 400),
        (["GET /health HTTP/1.1", "Host: localhost", " .evil.example"], 400),
        (["GET http://evil.example/health HTTP/1.1", "Host: localhost"], 421),
        (["GET http://localhost/health HTTP/1.1", "Host: evil.example"], 421),
        (["GET http://localhost/health HTTP/1.1", "Host: localhost"], 421),
        (["GET //evil.example/health HTTP/1.1", "Host: localhost"], 404),
        (["CONNECT evil.example:443 HTTP/1.1", "Host: localhost"], 421),
        (["OPTIONS * HTTP/1.1", "Host: evil.example"], 421),
    ],
    ids=str,
)
def test_hostile_heads(url: str, lines: list[str], status: int) -> None:
    answer = ask(url, *lines)
    assert answer.status == status
    if status == 421:
        assert re.search(r"(?m)^x-request-id: [0-9a-f]{32}\r$", answer.text)
        assert '"code":"misdirected_request"' in answer.text


def test_a_refusal_does_not_wait_for_the_body(url: str) -> None:
    assert ask(url, f"POST {URL} HTTP/1.1", "Host: evil.example", "Content-Length: 1000").status == 421


def test_a_long_name_is_not_echoed_whole(url: str) -> None:
    name = ".".join(["a" * 60] * 4)
    answer = ask(url, "GET /health HTTP/1.1", f"Host: {name}")
    assert answer.status == 421
    assert "a" * 60 in answer.text
    assert name not in answer.text
