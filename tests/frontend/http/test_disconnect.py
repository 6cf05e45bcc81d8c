"""A client that leaves stops its jobs at once; over real sockets, as only a real server notices."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from fastapi import FastAPI

from tests.frontend.conftest import Serve
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_video_request import URL

pytestmark = pytest.mark.slow


def wait_for(condition: Callable[[], bool], what: str) -> float:
    """Seconds until `condition()` holds."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < 5, f"still not: {what}"
        time.sleep(0.005)
    return time.monotonic() - started


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("path", [URL, "/v1/videos"])
def test_leaving_cancels_every_job(serve: Serve, app: FastAPI, generator: FakeGenerator, path: str, n: int) -> None:
    generator.step_gate.clear()
    with serve(app) as url:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url + path, json={"prompt": "x", "n": n}, timeout=0.3)
        assert wait_for(lambda: len(generator.cancelled) == n, "jobs cancelled") < 1
        wait_for(lambda: 'status="499"' in httpx.get(url + "/metrics").text, "counted")
        assert "tritonreel_jobs_in_flight 0.0" in httpx.get(url + "/metrics").text


def test_staying_cancels_none(serve: Serve, app: FastAPI, generator: FakeGenerator) -> None:
    with serve(app) as url:
        responses = [httpx.post(url + URL, json={"prompt": "x"}) for _ in range(2)]
    assert [response.status_code for response in responses] == [200, 200]
    assert generator.cancelled == []


@pytest.mark.parametrize(
    ("path", "content_type"),
    [
        (URL, "application/json"),
        ("/v1/videos", "application/json"),
        ("/v1/videos", "multipart/form-data; boundary=b"),
    ],
)
def test_leaving_while_the_body_is_sent_is_no_fault(
    serve: Serve, app: FastAPI, generator: FakeGenerator, caplog: pytest.LogCaptureFixture, path: str, content_type: str
) -> None:
    with serve(app) as url:
        address = httpx.URL(url)

        async def send_half() -> None:
            _, writer = await asyncio.open_connection(address.host, address.port)
            head = (
                f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {content_type}\r\nContent-Length: 99\r\n\r\n"
            )
            writer.write(head.encode() + b"--b\r\nContent-")
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.close()

        asyncio.run(send_half())
        wait_for(lambda: f'route="{path}"' in httpx.get(url + "/metrics").text, "answered")
    assert generator.jobs == {}
    assert "internal error" not in caplog.text


def test_stopping_the_server_ends_its_jobs(serve: Serve, app: FastAPI, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    with ThreadPoolExecutor(1) as pool:
        with serve(app) as url:
            request = pool.submit(httpx.post, url + URL, json={"prompt": "x"}, timeout=10)
            wait_for(lambda: len(generator.jobs) == 1, "a job runs")
        assert len(generator.cancelled) == 1
        assert request.exception() is not None or request.result().status_code >= 500


def test_the_generator_is_open_while_the_server_runs(serve: Serve, app: FastAPI, generator: FakeGenerator) -> None:
    assert not generator.opened
    with serve(app):
        assert generator.opened
    assert not generator.opened
