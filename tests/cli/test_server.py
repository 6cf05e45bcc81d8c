"""What commands make of servers that are none of ours, or mean harm."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.cli.conftest import Run

HOSTILE = "\x1b[2J\x1b]0;owned\x07\u202e"
JOB = {"id": f"video_1{HOSTILE}", "kind": "video", "status": "completed", "prompt": HOSTILE, "model": HOSTILE}

Answer = Callable[[str, str], tuple[int, bytes]]


@contextmanager
def server_that(answers: Answer) -> Iterator[str]:
    """Its URL.

    Args:
        answers: status and body to a method and a path.
    """

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = answers(self.command, self.path)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _answer

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>a router's page", b"[]", b"{}", b"null", b'"x"', b'{"data": 3}', b'{"data": [3]}', b'{"data": [{}]}'],
)
@pytest.mark.parametrize(
    "command", [("models",), ("jobs",), ("jobs", "show", "x"), ("video", "x"), ("image", "x"), ("jobs", "cancel", "x")]
)
def test_what_is_no_tritonreel_server(run: Run, command: tuple[str, ...], body: bytes) -> None:
    with server_that(lambda method, path: (200, body)) as url:
        done = run(*command, "--url", url)
    assert done.exit_code == 1, done.exception
    assert "not as a Tritonreel server" in done.stderr or "does not answer as a Tritonreel server" in done.stderr


@pytest.mark.parametrize("status", [401, 404, 500])
def test_an_error_that_is_none_of_ours(run: Run, status: int) -> None:
    with server_that(lambda method, path: (status, b"<html>" + HOSTILE.encode())) as url:
        done = run("models", "--url", url)
    assert done.exit_code == 1
    assert f"answered {status}, but not as a Tritonreel server" in done.stderr
    assert "\x1b" not in done.output


def hostile(method: str, path: str) -> tuple[int, bytes]:
    error = {"message": HOSTILE, "type": "server_error", "param": HOSTILE, "code": HOSTILE}
    model = {"id": HOSTILE, "tasks": [HOSTILE], "durations": [], "resolutions": [HOSTILE], "aspect_ratios": []}
    bodies: dict[str, Any] = {
        "/v1/models": {
            "data": [model | {"dollars_per_second": {HOSTILE: 1}}],
            "coming": [{"id": HOSTILE, "status": HOSTILE, "stage": HOSTILE}],
        },
        "/v1/jobs": {"data": [JOB], "has_more": True},
        "/v1/jobs/x": JOB | {"status": "failed", "error": error},
        "/v1/jobs/y": JOB | {"warnings": [HOSTILE], "files": [{"index": 0, "url": "https://[", "media_type": HOSTILE}]},
    }
    found = bodies.get(path.partition("?")[0])
    return (404, json.dumps({"error": error}).encode()) if found is None else (200, json.dumps(found).encode())


@pytest.mark.parametrize(
    ("command", "status"),
    [
        (("models",), 0),
        (("models", "--json"), 0),
        (("jobs",), 0),
        (("jobs", "--json"), 0),
        (("jobs", "show", "x"), 0),
        (("jobs", "get", "x"), 1),
        (("jobs", "get", "y"), 1),
        (("jobs", "cancel", "y"), 1),
        (("jobs", "delete", "z"), 1),
        (("video", HOSTILE), 1),
        (("bench", "-r", "1"), 1),
    ],
)
def test_nothing_that_a_server_says_commands_the_terminal(run: Run, command: tuple[str, ...], status: int) -> None:
    with server_that(hostile) as url:
        done = run(*command, "--url", url)
    assert done.exit_code == status, (done.output, done.exception)
    assert not {"\x1b", "\x07", "\u202e"} & set(done.output)
    assert done.output.strip()


def test_a_file_is_not_read_from_a_disk(run: Run) -> None:
    job = {**JOB, "files": [{"index": 0, "url": "file:///etc/hostname", "media_type": "video/mp4"}]}
    with server_that(lambda method, path: (200, json.dumps(job).encode())) as url:
        done = run("jobs", "get", "y", "-o", "clip.mp4", "--url", url)
    assert done.exit_code == 1
    assert "clip.mp4" not in done.stdout
