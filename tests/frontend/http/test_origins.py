"""What a page can make its visitor's browser send, as browsers send it."""

import itertools
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from starlette.types import Message, Scope

from frontend.app import create_app
from frontend.http.origins import OriginMiddleware
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve, client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.http.raw import ask
from tests.frontend.test_video_request import URL
from tests.frontend.test_videos import image_file

OWN = "http://127.0.0.1:8000"
"""what the test client calls the server"""
APP = "https://app.example.com"
FOREIGN = [
    *("https://evil.example", "null", "", "http://127.0.0.1", "http://127.0.0.1:3000", "https://127.0.0.1:8000"),
    *("http://localhost:8000", "http://[::1]:8000", "http://127.0.0.1:8000.evil.example", "http://127.0.0.1:80000"),
    *("http://evil.example#http://127.0.0.1:8000", "http://127.0.0.1:8000@evil.example", "http://127.0.0.1:8000/"),
    *(f"{OWN}, https://evil.example", f"{OWN} https://evil.example", "127.0.0.1:8000", "//127.0.0.1:8000", "*"),
    *("file://", "data:", "ftp://127.0.0.1:8000", "chrome-extension://abcdefghijklmnop", "http://2130706433:8000"),
    *(f"{APP}.evil.example", "https://app.example.co", "http://app.example.com", f"{APP}:8443", "https://example.com"),
]
CONTENT_TYPES = ["text/plain", "application/json", "multipart/form-data; boundary=b", "x"]
CROSS_ORIGIN_FETCH = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}


@pytest.fixture
def settings() -> Settings:
    return Settings(triton_metrics_url=NOWHERE, allowed_origins=(APP, "http://localhost:3000"))


# Everybody else's pages


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/v1/models"), ("POST", URL), ("OPTIONS", URL), ("GET", "/health")]
)
async def test_pages_of_other_origins_are_refused(
    client: httpx.AsyncClient, generator: FakeGenerator, method: str, path: str
) -> None:
    for origin in FOREIGN:
        response = await client.request(method, path, headers={"Origin": origin, "X-Request-Id": "me"})
        assert (response.status_code, response.headers["X-Request-Id"]) == (403, "me"), origin
        error = response.json()["error"]
        assert (error["type"], error["code"]) == ("invalid_request_error", "cross_origin_request")
        assert "--allowed-origin" in error["message"]
        assert "TRITONREEL_ALLOWED_ORIGINS" in error["message"]
        assert [name for name in response.headers if name.startswith("access-control")] == []
    assert generator.jobs == {}


@pytest.mark.parametrize("path", ["/v1/videos", URL, "/v1/images/generations"])
async def test_no_form_makes_a_job(client: httpx.AsyncClient, generator: FakeGenerator, path: str) -> None:
    bodies: list[dict[str, Any]] = [
        {"files": {"prompt": (None, "x")}},
        {"files": {"prompt": (None, "x"), "input_reference": ("a.png", image_file())}},
        {"data": {"prompt": "x"}},
        *({"content": b'{"prompt": "x"}', "headers": {"Content-Type": kind}} for kind in CONTENT_TYPES),
        {"content": b'{"prompt": "x"}'},
    ]
    for body, origin in itertools.product(bodies, ["https://evil.example", "null"]):
        headers = body.get("headers", {}) | {"Origin": origin, "Sec-Fetch-Site": "cross-site"}
        assert (await client.post(path, **{**body, "headers": headers})).status_code == 403
    assert generator.jobs == {}


async def test_preflights_of_others_are_refused(client: httpx.AsyncClient) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    response = await client.options(URL, headers=asked | {"Access-Control-Request-Headers": "authorization"})
    assert response.status_code == 403
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_several_origins_are_none(client: httpx.AsyncClient) -> None:
    for pair in itertools.product([OWN, APP], repeat=2):
        response = await client.get("/v1/models", headers=[("Origin", origin) for origin in pair])
        assert response.status_code == 403


async def test_what_a_page_embeds_is_refused(client: httpx.AsyncClient) -> None:
    """No `Origin` comes with these, only what they are for."""
    sites = ["cross-site", "same-site", "", "unheard-of", "Same-Origin"]
    for site, destination in itertools.product(sites, ["image", "video", "script", "iframe", "object", "empty"]):
        mode = "navigate" if destination in ("iframe", "object") else "no-cors"
        headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode, "Sec-Fetch-Dest": destination}
        assert (await client.get("/v1/models", headers=headers)).status_code == 403


async def test_an_own_origin_does_not_outweigh_a_foreign_site(client: httpx.AsyncClient) -> None:
    """A request that other servers redirected here."""
    response = await client.post(URL, json={"prompt": "x"}, headers={"Origin": OWN, "Sec-Fetch-Site": "cross-site"})
    assert response.status_code == 403


async def test_a_link_may_be_followed(client: httpx.AsyncClient) -> None:
    assert (await client.get("/docs", headers=LINK)).status_code == 200
    assert (await client.head("/docs", headers=LINK)).status_code != 403


async def test_but_a_form_is_not_a_link(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    assert (await client.post(URL, json={"prompt": "x"}, headers=LINK)).status_code == 403
    assert (await client.delete("/v1/videos/video_1", headers=LINK)).status_code == 403
    assert (await client.get("/docs", headers=LINK | {"Origin": "https://evil.example"})).status_code == 403
    assert generator.jobs == {}


async def test_a_refusal_is_counted(client: httpx.AsyncClient) -> None:
    await client.post(URL, headers={"Origin": "null"})
    counted = 'tritonreel_http_requests_total{method="POST",route="none",status="403"} 1.0'
    assert counted in (await client.get("/metrics")).text


# Its own pages, and no pages at all


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"User-Agent": "curl/8", "Accept": "*/*"},
        {"Referer": "https://evil.example/"},
        {"Origin": OWN},
        {"Origin": OWN, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"},
    ],
    ids=str,
)
async def test_the_own_pages_and_other_clients_are_served(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    assert (await client.post(URL, json={"prompt": "x"}, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("host", "origin", "own"),
    [
        ("localhost", "http://localhost", True),
        ("localhost:80", "http://localhost", True),
        ("localhost:443", "http://localhost:443", True),
        ("LOCALHOST:8000", "http://localhost:8000", True),
        ("[::1]:8000", "http://[::1]:8000", True),
        ("localhost:8000", "http://127.0.0.1:8000", False),
        ("localhost:8000", "http://localhost", False),
        ("localhost", "http://localhost:8000", False),
        ("localhost", "https://localhost", False),
    ],
)
async def test_its_own_origin_is_what_the_request_calls_it(
    client: httpx.AsyncClient, host: str, origin: str, own: bool
) -> None:
    response = await client.get("/v1/models", headers={"Host": host, "Origin": origin})
    assert response.status_code == (200 if own else 403)
    assert "Access-Control-Allow-Origin" not in response.headers


async def test_behind_tls_its_own_origin_is_https(generator: FakeGenerator, settings: Settings) -> None:
    transport = httpx.ASGITransport(create_app(settings, generator))
    async with httpx.AsyncClient(transport=transport, base_url="https://127.0.0.1") as client:
        for origin, status in (("https://127.0.0.1", 200), ("http://127.0.0.1", 403), ("https://127.0.0.1:80", 403)):
            assert (await client.get("/v1/models", headers={"Origin": origin})).status_code == status


# Pages that may


@pytest.mark.parametrize("origin", [APP, "http://localhost:3000"])
async def test_an_allowed_page_may_ask_and_read(client: httpx.AsyncClient, origin: str) -> None:
    response = await client.post(URL, json={"prompt": "x"}, headers={"Origin": origin} | CROSS_ORIGIN_FETCH)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == origin
    assert "Origin" in response.headers["Vary"]
    assert {"X-Request-Id", "Retry-After"} <= set(response.headers["Access-Control-Expose-Headers"].split(", "))
    assert "Access-Control-Allow-Credentials" not in response.headers


async def test_it_may_read_errors_too(client: httpx.AsyncClient) -> None:
    response = await client.post(URL, json={}, headers={"Origin": APP})
    assert response.status_code == 422
    assert response.headers["Access-Control-Allow-Origin"] == APP


async def test_its_preflight_is_answered(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    asked = {"Origin": APP, "Access-Control-Request-Method": "POST"}
    asked |= {"Access-Control-Request-Headers": "authorization,content-type,x-request-id,x-stainless-lang"}
    response = await client.options(URL, headers=asked | CROSS_ORIGIN_FETCH)
    assert response.status_code == 200
    assert response.headers["Access-Control-Allow-Origin"] == APP
    assert "Origin" in response.headers["Vary"]
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert response.headers["Access-Control-Allow-Headers"] == asked["Access-Control-Request-Headers"]


async def test_its_preflight_needs_no_key_but_its_requests_do(generator: FakeGenerator) -> None:
    key = "k" * 32
    settings = Settings.model_validate({"triton_metrics_url": NOWHERE, "allowed_origins": APP, "api_key": key})
    async with client_of(create_app(settings, generator)) as client:
        preflight = await client.options(URL, headers={"Origin": APP, "Access-Control-Request-Method": "POST"})
        without = await client.post(URL, json={"prompt": "x"}, headers={"Origin": APP})
        with_key = {"Origin": APP, "Authorization": f"Bearer {key}"}
        allowed = await client.post(URL, json={"prompt": "x"}, headers=with_key)
    assert [preflight.status_code, without.status_code, allowed.status_code] == [200, 401, 200]
    assert without.headers["Access-Control-Allow-Origin"] == APP


async def test_nobody_is_allowed_by_default(generator: FakeGenerator) -> None:
    async with client_of(create_app(Settings(triton_metrics_url=NOWHERE), generator)) as client:
        assert (await client.get("/v1/models", headers={"Origin": APP})).status_code == 403


# Web sockets, which browsers let every page open


@pytest.mark.parametrize(
    ("origin", "passes"), [(None, True), ("http://localhost:8000", True), (APP, True), ("https://evil.example", False)]
)
async def test_web_sockets_are_refused_alike(origin: str | None, passes: bool) -> None:
    reached: list[Scope] = []
    sent: list[Message] = []

    async def app(scope: Scope, receive: object, send: object) -> None:
        reached.append(scope)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"host", b"localhost:8000")] + ([(b"origin", origin.encode())] if origin else [])
    scope = {"type": "websocket", "path": "/", "scheme": "ws", "headers": headers}
    await OriginMiddleware(app, allowed=(APP,))(scope, receive, send)
    assert bool(reached) is passes
    assert [(message["type"], message["code"]) for message in sent] == ([] if passes else [("websocket.close", 1008)])


# As bytes, over a socket


@pytest.fixture(scope="module")
def url(serve: Serve) -> Iterator[str]:
    with serve(create_app(Settings(triton_metrics_url=NOWHERE), FakeGenerator())) as url:
        yield url


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["Origin: https://evil.example"], 403),
        (["oRIGIN:\tnull "], 403),
        (["Origin:"], 403),
        (["Origin: http://localhost", "Origin: https://evil.example"], 403),
        (["Origin: https://evil.example", "Origin: http://localhost"], 403),
        (["Origin: http://localhost\xff"], 403),
        (["Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site"], 403),
        (["Origin: https://localhost", "X-Forwarded-Host: evil.example"], 403),
        (["Origin: http://localhost"], 404),
        ([], 404),
    ],
    ids=str,
)
def test_hostile_heads(url: str, lines: list[str], status: int) -> None:
    assert ask(url, "POST /nowhere HTTP/1.1", "Host: localhost", *lines, "Content-Length: 0").status == status


def test_a_refusal_does_not_wait_for_the_body(url: str) -> None:
    head = [f"POST {URL} HTTP/1.1", "Host: localhost", "Origin: https://evil.example", "Content-Length: 1000"]
    assert ask(url, *head).status == 403


async def test_the_page_behind_a_proxy_that_ends_tls_may_ask(generator: FakeGenerator) -> None:
    settings = Settings.model_validate({"triton_metrics_url": NOWHERE, "public_url": "https://video.example.com/"})
    async with client_of(create_app(settings, generator)) as client:
        for origin, status in (("https://video.example.com", 200), ("https://other.example.com", 403)):
            headers = {"Origin": origin, "Sec-Fetch-Site": "same-origin"}
            assert (await client.post(URL, json={"prompt": "x"}, headers=headers)).status_code == status
