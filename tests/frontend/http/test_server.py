"""How the server ends, and what it does when there are more clients than it can take."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import httpx
import pytest

from frontend.app import create_app
from frontend.http.server import Server
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, running, url_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.http.raw_client import GENEROUS, GET, RawClient, post
from tests.frontend.test_video_request import URL
from tests.waiting import wait_until

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
PROMPT = b'{"prompt": "x"}'
OPTIONS: dict[str, object] = {"triton_metrics_url": NOWHERE, "shutdown_timeout_seconds": 1, "max_running_jobs": 64}
JOB = post(URL, f"Content-Length: {len(PROMPT)}") + PROMPT
wait_for = partial(wait_until, seconds=GENEROUS)


@dataclass(frozen=True)
class InThread:
    """A server in this process, whose jobs hang."""

    server: Server
    generator: FakeGenerator
    url: str

    @property
    def jobs(self) -> int:
        return len(self.generator.jobs)

    def stop(self) -> None:
        self.server.should_exit = True


@dataclass(frozen=True)
class Process:
    """The same in a process of its own."""

    popen: "subprocess.Popen[bytes]"
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @property
    def url(self) -> str:
        url: str = re.findall(r"running on (\S+)", self.log)[0]
        return url

    @property
    def jobs(self) -> int:
        text = httpx.get(f"{self.url}/metrics").text
        return int(float(re.findall(r"^tritonreel_jobs_in_flight (\S+)", text, re.M)[0]))


@contextmanager
def in_thread(**settings: object) -> Iterator[InThread]:
    generator = FakeGenerator()
    generator.step_gate.clear()
    options = OPTIONS | settings
    with running(create_app(Settings.model_validate(options), generator), **options) as server:
        yield InThread(server, generator, url_of(server))


@contextmanager
def as_process(log: Path, descriptors: int | None = None, **settings: object) -> Iterator[Process]:
    options = {"port": 0, **OPTIONS} | settings
    environment = {f"TRITONREEL_{name.upper()}": str(value) for name, value in options.items()}

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
    def test_on_sigterm_a_job_that_is_not_done_is_answered(self, tmp_path: Path) -> None:
        with as_process(tmp_path / "log") as server, RawClient(server.url) as client:
            client.send(JOB)
            wait_for(lambda: server.jobs == 1)
            server.popen.send_signal(signal.SIGTERM)
            answer = client.answer()
            assert (answer.status, answer.error["code"]) == (503, "server_stopping")
            assert int(answer.headers["Retry-After"]) > 0
            assert answer.headers["X-Request-Id"]
            assert answer.headers["Connection"] == "close"
            assert client.is_closed_within()
            assert server.popen.wait(GENEROUS) == -signal.SIGTERM
            assert "Traceback" not in server.log
            assert "status=503" in server.log

    def test_a_second_interrupt_is_obeyed_at_once(self, tmp_path: Path) -> None:
        with (
            as_process(tmp_path / "log", shutdown_timeout_seconds=60) as server,
            RawClient(server.url) as client,
        ):
            client.send(JOB)
            wait_for(lambda: server.jobs == 1)
            server.popen.send_signal(signal.SIGINT)
            wait_for(lambda: "Shutting down" in server.log)
            server.popen.send_signal(signal.SIGINT)
            server.popen.wait(GENEROUS)

    def test_many_jobs_are_answered(self) -> None:
        with ThreadPoolExecutor(20) as pool, in_thread() as server:
            url = server.url + URL
            requests = [pool.submit(httpx.post, url, json={"prompt": "x"}, timeout=GENEROUS) for _ in range(20)]
            wait_for(lambda: server.jobs == 20)
            server.stop()
            assert [request.result().status_code for request in requests] == [503] * 20
        assert len(server.generator.cancelled) == 20

    def test_a_body_that_is_not_complete_is_answered(self) -> None:
        with in_thread() as server, RawClient(server.url) as client:
            client.send(post(URL, "Content-Length: 100") + b"{")
            time.sleep(0.2)
            server.stop()
            assert client.answer().error["code"] == "server_stopping"

    def test_meanwhile_kept_connections_are_answered_and_new_ones_refused(self) -> None:
        with (
            in_thread(shutdown_timeout_seconds=3) as server,
            RawClient(server.url) as busy,
            RawClient(server.url) as kept,
            RawClient(server.url) as fresh,
        ):
            url = server.url
            assert kept.send(GET).answer().status == 200
            busy.send(JOB)
            wait_for(lambda: server.jobs == 1)
            server.stop()
            wait_for(lambda: not server.server.servers[0].is_serving())
            assert kept.send(GET).answer().error["code"] == "server_stopping"
            assert fresh.send(JOB).answer().error["code"] == "server_stopping"
            with pytest.raises(ConnectionRefusedError):
                RawClient(url)
            assert kept.is_closed_within()
            assert busy.answer().error["code"] == "server_stopping"
        assert server.jobs == 1

    def test_idle_connections_do_not_hold_it_up(self) -> None:
        with (
            in_thread(shutdown_timeout_seconds=60) as server,
            RawClient(server.url) as silent,
            RawClient(server.url) as kept,
            RawClient(server.url) as half,
        ):
            assert kept.send(GET).answer().status == 200
            half.send(b"GET / HT")
            server.stop()
            for client in (silent, kept, half):
                assert client.is_closed_within(8)


class TestManyConnections:
    def test_silent_ones_make_room(self) -> None:
        with ExitStack() as stack:
            server = stack.enter_context(in_thread(max_connections=32, request_head_timeout_seconds=60))
            silent = [stack.enter_context(RawClient(server.url)) for _ in range(100)]
            assert stack.enter_context(RawClient(server.url)).send(GET).answer().status == 200
            for client in silent[:60]:  # the oldest
                assert client.is_closed_within()
            assert not silent[-1].is_closed_within(0.2)

    def test_those_at_work_do_not(self) -> None:
        with ExitStack() as stack:
            server = stack.enter_context(in_thread(max_connections=32))
            busy = [stack.enter_context(RawClient(server.url)).send(JOB) for _ in range(31)]
            wait_for(lambda: server.jobs == 31)
            for _ in range(100):
                stack.enter_context(RawClient(server.url))
            for client in busy:
                assert not client.is_closed_within(0.01)
            assert server.generator.cancelled == []

    def test_when_all_are_at_work_the_next_is_told_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        with ExitStack() as stack:
            server = stack.enter_context(in_thread(max_connections=32))
            busy = [stack.enter_context(RawClient(server.url)).send(JOB) for _ in range(32)]
            wait_for(lambda: server.jobs == 32)
            for _ in range(50):
                answer = httpx.get(f"{server.url}/health/live")
                assert (answer.status_code, answer.json()["error"]["code"]) == (503, "too_many_connections")
                assert int(answer.headers["Retry-After"]) > 0
            busy.pop().__exit__()
            wait_for(lambda: httpx.get(f"{server.url}/health/live").status_code == 200)
        assert 1 <= capsys.readouterr().err.count("connection refused") <= 2

    def test_without_descriptors_the_log_stays_small_and_service_comes_back(self, tmp_path: Path) -> None:
        settings = {"max_connections": 512, "request_head_timeout_seconds": 3}
        with as_process(tmp_path / "log", descriptors=48, **settings) as server:
            with ExitStack() as stack:
                for _ in range(100):
                    stack.enter_context(RawClient(server.url)).try_to_send(post(URL, "Content-Length: 100"))
                wait_for(lambda: "no descriptors left" in server.log)
                time.sleep(2)
                assert server.log.count("no descriptors left") == 1
                assert "Traceback" not in server.log
                assert len(server.log) < 50_000
            wait_for(lambda: httpx.get(f"{server.url}/health/live").status_code == 200)

    def test_a_lower_limit_on_descriptors_is_heeded(self, tmp_path: Path) -> None:
        with ExitStack() as stack:
            server = stack.enter_context(as_process(tmp_path / "log", descriptors=300, max_connections=512))
            assert "fewer connections than set" in server.log
            url = server.url
            server.popen.send_signal(signal.SIGSTOP)  # so that they come all at once
            for _ in range(400):
                stack.enter_context(RawClient(url))
            server.popen.send_signal(signal.SIGCONT)
            assert httpx.get(f"{server.url}/health/live", timeout=GENEROUS).status_code == 200
            assert "no descriptors left" not in server.log


class TestManyUploads:
    """With room for two large bodies."""

    @pytest.fixture
    def server(self) -> Iterator[InThread]:
        with in_thread(max_held_body_bytes=2 * 1024 * 1024, held_body_wait_seconds=0.5) as server:
            yield server

    @staticmethod
    def upload(server: InThread) -> RawClient:
        """A body of which the last byte is missing."""
        head = post("/v1/videos", f"Content-Length: {len(PROMPT) + 1024 * 1024}")
        client = RawClient(server.url)
        client.try_to_send(head + PROMPT + b" " * (1024 * 1024 - 1))
        return client

    def test_the_last_to_come_is_told_to_come_again(self, server: InThread) -> None:
        with self.upload(server) as first, self.upload(server) as second:
            with self.upload(server) as third:
                answer = third.answer()
                assert (answer.status, answer.error["code"]) == (503, "too_many_uploads")
                assert int(answer.headers["Retry-After"]) > 0
                assert third.is_closed_within()
            for client in (first, second):
                client.send(b" ")
            wait_for(lambda: server.jobs == 2)

    def test_prompts_pass_all_the_same(self, server: InThread) -> None:
        with self.upload(server), self.upload(server), self.upload(server), RawClient(server.url) as client:
            client.send(JOB)
            wait_for(lambda: server.jobs == 1)

    def test_who_leaves_makes_room(self, server: InThread) -> None:
        for _ in range(10):
            with self.upload(server) as client:
                client.send(b" ")
                wait_for(lambda: server.jobs == 1)
            wait_for(lambda: len(server.generator.cancelled) == 1)
            server.generator.jobs.clear()
            server.generator.cancelled.clear()
