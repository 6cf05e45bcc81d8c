import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from starlette.types import Message, Receive, Scope, Send

from frontend.app import create_app
from frontend.http.body_limit import BodyLimitMiddleware, BodyLimits
from frontend.http.held_bodies import HeldBodies
from frontend.settings import Settings
from tests.frontend.conftest import client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_video_request import URL, error_of

LIMIT = 1000


@pytest.fixture
def app(generator: FakeGenerator) -> FastAPI:
    return create_app(Settings(max_body_bytes=LIMIT), generator)


def body_of(size: int) -> bytes:
    return b'{"prompt": "x"' + b" " * (size - 15) + b"}"


async def in_pieces(body: bytes) -> AsyncIterator[bytes]:
    """Chunked transfer: no Content-Length."""
    for first in range(0, len(body), 100):
        yield body[first : first + 100]


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413), (100 * LIMIT, 413)])
async def test_the_limit_holds_declared_or_counted(app: FastAPI, size: int, status: int, pieces: bool) -> None:
    content = in_pieces(body_of(size)) if pieces else body_of(size)
    async with client_of(app) as client:
        response = await client.post(URL, content=content, headers={"Content-Type": "application/json"})
    assert response.status_code == status
    if status == 413:
        error = error_of(response)
        assert (error["code"], error["message"]) == ("payload_too_large", f"The body must have at most {LIMIT} bytes")


async def test_it_holds_where_no_route_reads_the_body(client: httpx.AsyncClient) -> None:
    response = await client.post("/nothing", content=b"x" * (LIMIT + 1))
    assert response.status_code == 413
    assert error_of(response)["code"] == "payload_too_large"


async def test_reading_stops_at_the_limit(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 1000 * LIMIT:
            sent += 100
            yield b" " * 100

    response = await client.post(URL, content=endless(), headers={"Content-Type": "application/json"})
    assert response.status_code == 413
    assert sent <= 2 * LIMIT


@pytest.mark.parametrize("content_type", ["application/json", "multipart/form-data; boundary=b"])
async def test_an_upload_has_a_limit_of_its_own(
    generator: FakeGenerator, caplog: pytest.LogCaptureFixture, content_type: str
) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--b\r\nContent-Disposition: form-data; name="input_reference"; filename="a"\r\n\r\n'
        while sent < 1000 * LIMIT:
            sent += 100
            yield b" " * 100

    app = create_app(Settings(max_body_bytes=LIMIT, max_upload_bytes=5 * LIMIT), generator)
    async with client_of(app) as client:
        response = await client.post("/v1/videos", content=endless(), headers={"Content-Type": content_type})
    assert (response.status_code, error_of(response)["code"]) == (413, "payload_too_large")
    assert f"{5 * LIMIT} bytes" in error_of(response)["message"]
    assert 4 * LIMIT < sent <= 6 * LIMIT
    assert "internal error" not in caplog.text


@pytest.mark.parametrize("declared", ["many", "-5", "9" * 5000])
async def test_a_senseless_content_length_does_no_harm(client: httpx.AsyncClient, declared: str) -> None:
    headers = {"Content-Type": "application/json", "Content-Length": declared}
    assert (await client.post(URL, content=body_of(LIMIT), headers=headers)).status_code == 200
    assert (await client.post(URL, content=body_of(LIMIT + 1), headers=headers)).status_code == 413


async def through_the_middleware(receive: Receive, stall_seconds: float) -> list[Any]:
    """What is sent where an application reads all of a body and answers 204."""
    sent: list[Any] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        while (message := await receive()).get("more_body"):
            pass
        if message["type"] == "http.request":
            await send({"type": "http.response.start", "status": 204, "headers": []})

    async def send(message: Message) -> None:
        sent.append(message)

    limits = BodyLimits(max_bytes=LIMIT, max_bytes_at={}, stall_seconds=stall_seconds, min_bytes_per_second=1)
    middleware = BodyLimitMiddleware(app, limits=limits, held=HeldBodies(10 * LIMIT, 1))
    await middleware({"type": "http", "path": "/", "headers": []}, receive, send)
    return sent


async def test_a_body_that_does_not_come_is_answered_with_408() -> None:
    async def receive() -> Message:
        await asyncio.Event().wait()
        raise NotImplementedError

    sent = await through_the_middleware(receive, 0.1)
    assert sent[0]["status"] == 408
    assert json.loads(sent[1]["body"])["error"]["code"] == "request_timeout"


async def test_time_in_which_the_server_was_busy_is_not_the_clients() -> None:
    """The body comes while something else blocks the event loop, for longer than a client may pause."""
    arrived = asyncio.Event()
    ours, theirs = socket.socketpair()
    loop = asyncio.get_running_loop()
    loop.add_reader(ours, arrived.set)

    def send_and_block() -> None:
        theirs.send(b"x")
        time.sleep(0.5)

    async def receive() -> Message:
        await arrived.wait()
        loop.remove_reader(ours)
        return {"type": "http.request", "body": b"x", "more_body": False}

    loop.call_later(0.05, send_and_block)
    sent = await through_the_middleware(receive, 0.2)
    ours.close()
    theirs.close()
    assert sent[0]["status"] == 204
