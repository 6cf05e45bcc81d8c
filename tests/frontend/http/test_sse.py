"""Server-sent events on the wire."""

import asyncio
from collections.abc import AsyncGenerator

import pytest
from fastapi import FastAPI, Request
from fastapi.responses import Response

from frontend.http import sse
from frontend.http.sse import ServerSentEvent, event_stream
from frontend.http.stop import Stop
from tests.frontend.conftest import client_of
from tests.waiting import SECONDS


class Source:
    """Events that come when they are told to."""

    def __init__(self, *events: ServerSentEvent) -> None:
        self.events = events
        self.gate = asyncio.Event()
        self.closed = False

    async def __aiter__(self) -> AsyncGenerator[ServerSentEvent, None]:
        try:
            for event in self.events:
                yield event
            await self.gate.wait()
        finally:
            self.closed = True


def app_of(source: Source) -> FastAPI:
    app = FastAPI()
    app.state.stop = Stop()

    @app.get("/events")
    async def events(request: Request) -> Response:
        return event_stream(request, source.__aiter__())

    return app


def test_an_event_has_its_id_its_type_and_one_line_of_data() -> None:
    assert ServerSentEvent("a.b", '{"x":1}', "7").encode() == b'id: 7\nevent: a.b\ndata: {"x":1}\n\n'
    assert ServerSentEvent("a.b", "{}").encode() == b"event: a.b\ndata: {}\n\n"


async def test_a_stream_ends_with_its_events() -> None:
    source = Source(ServerSentEvent("a", "1", "1"), ServerSentEvent("b", "2"))
    source.gate.set()
    async with client_of(app_of(source)) as client:
        response = await client.get("/events")
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.headers["cache-control"] == "no-store"
    assert response.text == "id: 1\nevent: a\ndata: 1\n\nevent: b\ndata: 2\n\n"
    assert source.closed


async def test_a_silent_stream_shows_that_it_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(sse, "KEEP_ALIVE_SECONDS", 0.02)
    source = Source()
    asyncio.get_running_loop().call_later(0.5, source.gate.set)
    async with client_of(app_of(source)) as client:
        assert ": alive\n\n" in (await client.get("/events")).text


async def test_a_stream_ends_when_the_server_stops() -> None:
    source = Source(ServerSentEvent("a", "1"))
    app = app_of(source)
    asyncio.get_running_loop().call_later(0.1, app.state.stop.begin)
    async with client_of(app) as client, asyncio.timeout(SECONDS):
        assert (await client.get("/events")).text.endswith("data: 1\n\n")
    assert source.closed
