import io
import json
import logging
from typing import Any

import httpx
import pytest

from frontend.logging import configure_logging
from tests.frontend.fake_engine import FakeEngine
from tests.frontend.test_video_request import URL


@pytest.fixture
def written() -> io.StringIO:
    """What the server's own log handler writes."""
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(stream := io.StringIO())
    return stream


def lines_of(written: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in written.getvalue().splitlines()]


async def test_one_line_a_request(client: httpx.AsyncClient, written: io.StringIO) -> None:
    await client.post(URL, json={"prompt": "x"}, headers={"X-Request-Id": "me"})
    (line,) = lines_of(written)
    assert 0 < line.pop("seconds") < 5
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request",
        "level": "info",
        "logger": "frontend.request_log",
        "request_id": "me",
        "method": "POST",
        "path": URL,
        "status": 200,
    }


async def test_nothing_private_is_written(client: httpx.AsyncClient, written: io.StringIO) -> None:
    await client.post(URL, json={"prompt": "hush"}, headers={"Authorization": "Bearer hush"}, params={"key": "hush"})
    await client.post(URL, json={"prompt": "hush", "n": "hush"})
    assert len(lines_of(written)) == 2
    assert "hush" not in written.getvalue()


async def test_a_fault_is_written_with_its_traceback_and_id(
    client: httpx.AsyncClient, engine: FakeEngine, written: io.StringIO
) -> None:
    engine.error_for = lambda params: RuntimeError("the cause")
    await client.post(URL, json={"prompt": "x"}, headers={"X-Request-Id": "me"})
    fault, request = lines_of(written)
    assert (fault["event"], fault["level"], fault["request_id"]) == ("internal error", "error", "me")
    assert "RuntimeError: the cause" in fault["exception"]
    assert "Traceback" in fault["exception"]
    assert request["status"] == 500


async def test_a_line_cannot_be_forged(client: httpx.AsyncClient, written: io.StringIO) -> None:
    configure_logging("info", "console")
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    await client.get("/a%0Arequest%20method=GET")
    assert len(written.getvalue().splitlines()) == 1


def test_uvicorn_writes_through_the_same_formatter(written: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info("GET /")
    assert [line["event"] for line in lines_of(written)] == ["started"]


def test_the_level_is_kept(written: io.StringIO) -> None:
    configure_logging("warning", "json")
    logging.getLogger("frontend").info("detail")
    assert written.getvalue() == ""
