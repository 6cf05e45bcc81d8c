"""`tritonreel drain`, with a real frontend and what stands for Triton's metrics."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner, Result

from frontend.app import create_app
from frontend.generators.pool import Pool
from frontend.settings import Settings
from launcher import drain
from launcher.__main__ import app
from tests.frontend.conftest import NOWHERE, running, url_of
from tests.frontend.fake_generator import FakeGenerator, pool_of

KEY = "the-key-of-the-frontend"


@pytest.fixture
def pool() -> Pool:
    return pool_of(FakeGenerator(), FakeGenerator())


@pytest.fixture
def frontend(pool: Pool, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("TRITONREEL_API_KEY", KEY)
    monkeypatch.setattr(drain, "_HEARD_SECONDS", 0.0)
    monkeypatch.setattr(drain, "_POLL_SECONDS", 0.01)
    settings = Settings(triton_metrics_url=NOWHERE, api_key=SecretStr(KEY))
    with running(create_app(settings, pool)) as server:
        yield url_of(server)


@pytest.fixture
def jobs() -> list[int]:
    """What the metrics tell, one after the other; the last one again and again."""
    return [0]


@pytest.fixture
def metrics(jobs: list[int]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            number = jobs.pop(0) if len(jobs) > 1 else jobs[0]
            text = (
                f"# TYPE jobs_waiting gauge\njobs_waiting {number // 2}\njobs_running {number - number // 2}\nother 5\n"
            )
            self.send_response(200)
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/metrics"
        server.shutdown()


def drained(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["drain", *arguments])


def test_it_waits_until_the_server_has_no_jobs(frontend: str, metrics: str, jobs: list[int], pool: Pool) -> None:
    jobs[:] = [3, 3, 1, 0]
    result = drained("a", "--url", frontend, "--metrics-url", metrics)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines() == ["a gets no new jobs", "a has 3 jobs", "a has 1 job", "a has no jobs"]
    assert [endpoint.is_draining for endpoint in pool.endpoints] == [True, False]

    assert drained("a", "--url", frontend, "--resume").output == "a gets jobs again\n"
    assert not pool.endpoints[0].is_draining


def test_it_says_what_is_left_and_what_is_wrong(
    frontend: str, metrics: str, jobs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs[:] = [2]
    late = drained("a", "--url", frontend, "--metrics-url", metrics, "--timeout", "0.1")
    assert (late.exit_code, "a still has 2 jobs after 0.1 s" in late.output) == (1, True)
    unknown = drained("nobody", "--url", frontend)
    assert (unknown.exit_code, "404" in unknown.output, "there are: a, b" in unknown.output) == (1, True, True)
    blind = drained("a", "--url", frontend, "--metrics-url", "http://127.0.0.1:9/metrics")
    assert (blind.exit_code, "Triton's metrics at" in blind.output) == (1, True)
    away = drained("a", "--url", "http://127.0.0.1:9")
    assert (away.exit_code, "cannot be reached" in away.output) == (1, True)
    monkeypatch.delenv("TRITONREEL_API_KEY")
    refused = drained("a", "--url", frontend)
    assert (refused.exit_code, "401" in refused.output) == (1, True)
