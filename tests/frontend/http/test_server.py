"""The server as a process: what it says at its end, and what it does when there are more clients than it can take."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.frontend.http.raw_client import GENEROUS, GET, RawClient, post
from tests.frontend.test_video_request import URL

ROOT = Path(__file__).resolve().parents[3]
PROMPT = b'{"prompt": "x"}'
JOB = post(URL, f"Content-Length: {len(PROMPT)}") + PROMPT


@dataclass(frozen=True)
class Process:
    popen: "subprocess.Popen[bytes]"
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def url(self) -> str:
        return re.findall(r"running on (\S+)", self.log)[0]

    @property
    def jobs(self) -> float:
        return float(re.findall(r"^tritonreel_jobs_in_flight (\S+)", httpx.get(f"{self.url}/metrics").text, re.M)[0])

    def terminate(self) -> None:
        self.popen.send_signal(signal.SIGTERM)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + GENEROUS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


Start = Callable[..., Process]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a server with these settings, and with so many descriptors."""
    with ExitStack() as stack:

        def start(*, descriptors: int | None = None, **settings: object) -> Process:
            return stack.enter_context(running(tmp_path / "log", descriptors, settings))

        yield start


@contextmanager
def running(log: Path, descriptors: int | None, settings: dict[str, object]) -> Iterator[Process]:
    defaults = {"port": 0, "shutdown_timeout_seconds": 1, "triton_metrics_url": "http://127.0.0.1:9/metrics"}
    environment = {f"TRITONREEL_{name.upper()}": str(value) for name, value in (defaults | settings).items()}

    def limit() -> None:
        if descriptors is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    with log.open("wb") as output:
        popen = subprocess.Popen(
            [sys.executable, "-m", "tests.frontend.http.fake_server"],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=output,
            stderr=output,
            preexec_fn=limit,
        )
    process = Process(popen, log)
    try:
        wait_for(lambda: "running on" in process.log or popen.poll() is not None)
        yield process
    finally:
        popen.kill()
        popen.wait()


class TestStop:
    def test_a_job_that_is_not_done_is_answered(self, start: Start) -> None:
        server = start()
        with RawClient(server.url) as client:
            client.send(JOB)
            wait_for(lambda: server.jobs == 1)
            server.terminate()
            answer = client.answer()
            assert (answer.status, answer.error["code"]) == (503, "server_stopping")
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.headers["X-Request-Id"]
            assert answer.headers["Connection"] == "close"
            assert client.is_closed_within()
        server.popen.wait(GENEROUS)
        assert "Traceback" not in server.log
        assert "status=503" in server.log

    def test_many_jobs_are_answered(self, start: Start) -> None:
        server = start()
        with ThreadPoolExecutor(20) as pool:
            requests = [
                pool.submit(httpx.post, server.url + URL, json={"prompt": "x"}, timeout=GENEROUS) for _ in range(20)
            ]
            wait_for(lambda: server.jobs == 20)
            server.terminate()
            assert [request.result().status_code for request in requests] == [503] * 20

    def test_a_body_that_is_not_complete_is_answered(self, start: Start) -> None:
        server = start()
        with RawClient(server.url) as client:
            client.send(post(URL, "Content-Length: 100") + b"{")
            time.sleep(0.2)
            server.terminate()
            assert client.answer().error["code"] == "server_stopping"

    def test_meanwhile_kept_connections_are_answered_and_new_ones_refused(self, start: Start) -> None:
        server = start(shutdown_timeout_seconds=3)
        with RawClient(server.url) as busy, RawClient(server.url) as kept, RawClient(server.url) as fresh:
            assert kept.send(GET).answer().status == 200
            busy.send(JOB)
            wait_for(lambda: server.jobs == 1)
            server.terminate()
            wait_for(lambda: "Shutting down" in server.log)
            time.sleep(0.1)
            assert kept.send(GET).answer().error["code"] == "server_stopping"
            assert fresh.send(JOB).answer().error["code"] == "server_stopping"
            with pytest.raises(ConnectionRefusedError):
                RawClient(server.url)
            assert kept.is_closed_within()
            assert busy.answer().error["code"] == "server_stopping"

    def test_idle_connections_do_not_hold_it_up(self, start: Start) -> None:
        server = start(shutdown_timeout_seconds=60)
        with RawClient(server.url) as silent, RawClient(server.url) as kept, RawClient(server.url) as half:
            assert kept.send(GET).answer().status == 200
            half.send(b"GET / HT")
            server.terminate()
            server.popen.wait(GENEROUS)
            for client in (silent, kept, half):
                assert client.is_closed_within()
        assert server.popen.returncode == -signal.SIGTERM

    def test_a_second_interrupt_is_obeyed_at_once(self, start: Start) -> None:
        server = start(shutdown_timeout_seconds=60)
        with RawClient(server.url) as client:
            client.send(JOB)
            wait_for(lambda: server.jobs == 1)
            server.popen.send_signal(signal.SIGINT)
            wait_for(lambda: "Shutting down" in server.log)
            server.popen.send_signal(signal.SIGINT)
            server.popen.wait(GENEROUS)


class TestManyConnections:
    def test_silent_ones_make_room(self, start: Start) -> None:
        server = start(max_connections=32, request_head_timeout_seconds=60)
        with ExitStack() as stack:
            silent = [stack.enter_context(RawClient(server.url)) for _ in range(100)]
            assert stack.enter_context(RawClient(server.url)).send(GET).answer().status == 200
            for client in silent[:60]:  # the oldest
                assert client.is_closed_within()
            assert not silent[-1].is_closed_within(0.2)

    def test_those_at_work_do_not(self, start: Start) -> None:
        server = start(max_connections=32, request_head_timeout_seconds=60)
        with ExitStack() as stack:
            busy = [stack.enter_context(RawClient(server.url)).send(JOB) for _ in range(31)]
            wait_for(lambda: server.jobs == 31)
            for _ in range(100):
                stack.enter_context(RawClient(server.url))
            for client in busy:
                assert not client.is_closed_within(0.01)
            assert server.jobs == 31

    def test_when_all_are_at_work_the_next_is_told_so(self, start: Start) -> None:
        server = start(max_connections=32)
        with ExitStack() as stack:
            busy = [stack.enter_context(RawClient(server.url)).send(JOB) for _ in range(31)]
            wait_for(lambda: server.jobs == 31)  # over the last place, which only this machine may have
            busy.append(stack.enter_context(RawClient(server.url)).send(JOB))
            wait_for(lambda: httpx.get(f"{server.url}/health/live").status_code == 503)
            for _ in range(50):
                answer = httpx.get(f"{server.url}/health/live")
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_connections")
                assert int(answer.headers["Retry-After"]) > 0
            busy.pop().__exit__()
            wait_for(lambda: httpx.get(f"{server.url}/health/live").status_code == 200)
        assert server.log.count("refused") <= 3

    def test_without_descriptors_the_log_stays_small_and_service_comes_back(self, start: Start) -> None:
        server = start(descriptors=64, max_connections=512, request_head_timeout_seconds=3)
        with ExitStack() as stack:
            uploads = [stack.enter_context(RawClient(server.url)) for _ in range(100)]
            for client in uploads:
                client.try_to_send(post(URL, "Content-Length: 100"))
            time.sleep(3)
            exhausted = server.log.count("no descriptors left")
            assert len(server.log) < 100_000
            assert "Traceback" not in server.log
        wait_for(lambda: httpx.get(f"{server.url}/health/live").status_code == 200)
        assert exhausted <= 2

    def test_the_limit_on_descriptors_is_raised_or_heeded(self, start: Start) -> None:
        server = start(descriptors=300, max_connections=512)
        assert "fewer connections than set" in server.log
        with ExitStack() as stack:
            for _ in range(400):
                stack.enter_context(RawClient(server.url))
            assert httpx.get(f"{server.url}/health/live").status_code == 200
        assert "no descriptors left" not in server.log
