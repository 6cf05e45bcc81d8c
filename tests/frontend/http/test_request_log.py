import io
import json
import logging
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from frontend.generators import endpoint
from frontend.http.logging import configure_logging
from protocol.errors import ModelFailed
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_video_request import URL


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the server's own log handler writes, but for servers that are found, which happens at some moment."""
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    finds = logging.getLogger(endpoint.__name__)
    finds.setLevel(logging.WARNING)
    handler.setStream(stream := io.StringIO())
    yield stream
    finds.setLevel(logging.NOTSET)


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
        "logger": "frontend.http.request_log",
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
    client: httpx.AsyncClient, generator: FakeGenerator, written: io.StringIO
) -> None:
    generator.error_for = lambda params: RuntimeError("the cause")
    await client.post(URL, json={"prompt": "x"}, headers={"X-Request-Id": "me"})
    fault, request = lines_of(written)
    assert (fault["event"], fault["level"], fault["request_id"]) == ("internal error", "error", "me")
    assert "RuntimeError: the cause" in fault["exception"]
    assert "Traceback" in fault["exception"]
    assert request["status"] == 500


@pytest.fixture
def console(written: io.StringIO) -> io.StringIO:
    """The same in the readable style."""
    configure_logging("info", "console")
    handler = logging.getLogger().handlers[0]
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    return written


async def test_a_line_cannot_be_forged(client: httpx.AsyncClient, console: io.StringIO) -> None:
    await client.get("/a%0Arequest%20method=GET")
    assert len(console.getvalue().splitlines()) == 1


@pytest.mark.parametrize(
    "text", ["\x1b[2J", "\x1b]0;title\x07", "\x9b2J", "\x7f", "\u202e", "\u2028", "\x85", "\0", "\r"]
)
@pytest.mark.parametrize("beside", ["", " "])  # the renderer quotes some values, and others not
async def test_a_terminal_obeys_no_path(
    client: httpx.AsyncClient, console: io.StringIO, text: str, beside: str
) -> None:
    await client.get("/" + quote(f"a{text}{beside}b"))
    (line,) = console.getvalue().splitlines()
    assert line.isprintable()
    assert "a\\" in line


async def test_a_terminal_obeys_no_error(
    client: httpx.AsyncClient, generator: FakeGenerator, console: io.StringIO
) -> None:
    generator.error_for = lambda params: ModelFailed("\x1b[2J\nforged")
    await client.post(URL, json={"prompt": "x"})
    failed, request = console.getvalue().splitlines()
    assert failed.isprintable()
    assert "request failed" in failed
    assert "status=503" in request


async def test_the_lines_of_a_traceback_are_indented(
    client: httpx.AsyncClient, generator: FakeGenerator, console: io.StringIO
) -> None:
    generator.error_for = lambda params: RuntimeError("\x1b[2J\n2026-01-01T00:00:00Z [info] forged")
    await client.post(URL, json={"prompt": "x"})
    lines = console.getvalue().split("\n")
    own = [line for line in lines if line and not line.startswith("  ")]
    assert [("internal error" in line, "request" in line) for line in own] == [(True, True), (False, True)]
    assert any("forged" in line for line in lines)
    assert all(line.isprintable() for line in lines)


def test_a_line_from_a_library_is_one_line_too(console: io.StringIO) -> None:
    logging.getLogger("library").warning("%s", "a\nb\x1b[2J\ud800")
    (line,) = console.getvalue().splitlines()
    assert r"a\nb\x1b[2J\ud800" in line


async def test_a_long_path_is_cut(client: httpx.AsyncClient, written: io.StringIO) -> None:
    await client.get("/" + "x" * 60_000)
    assert len(written.getvalue()) < 600


@pytest.mark.parametrize(("path", "status"), [("/nothing", 404), ("/health", 405)])
async def test_the_status_is_a_number(client: httpx.AsyncClient, console: io.StringIO, path: str, status: int) -> None:
    await client.delete(path)
    assert f"status={status}\n" in console.getvalue()
    assert f'status="{status}"' in (await client.get("/metrics")).text


def test_uvicorn_writes_through_the_same_formatter(written: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("started")
    logging.getLogger("uvicorn.access").info("GET /")
    assert [line["event"] for line in lines_of(written)] == ["started"]


def test_the_level_is_kept(written: io.StringIO) -> None:
    configure_logging("warning", "json")
    logging.getLogger("frontend").info("detail")
    assert written.getvalue() == ""
