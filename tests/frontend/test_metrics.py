import asyncio
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client.parser import text_string_to_metric_families

from frontend.app import create_app
from frontend.http.api_keys import KeyFile
from frontend.routes import metrics as routes_metrics
from frontend.settings import Settings
from protocol.errors import Cancelled
from tests.conftest import ROOT
from tests.frontend.conftest import NOWHERE, client_of
from tests.frontend.fake_generator import TIMINGS, FakeGenerator
from tests.frontend.test_video_request import URL, post
from tests.waiting import until

TRITON_TEXT = '# HELP nv_x Some\n# TYPE nv_x gauge\nnv_x{model="generate"} 3\n'


class _TritonMetrics(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.wfile.write(TRITON_TEXT.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def triton_metrics_url() -> Iterator[str]:
    server = HTTPServer(("127.0.0.1", 0), _TritonMetrics)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/metrics"
    server.shutdown()
    server.server_close()


async def samples(client: httpx.AsyncClient) -> dict[str, float]:
    """Every sample of /metrics, as `name{label=value,...}`."""
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    return {
        sample.name + "".join(f" {name}={value}" for name, value in sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(response.text)
        for sample in family.samples
    }


@pytest.mark.parametrize("file", ["docker/prometheus/alerts.yml", "docker/grafana/dashboards/tritonreel.json"])
async def test_alerts_and_dashboard_ask_for_metrics_that_exist(client: httpx.AsyncClient, file: str) -> None:
    known = set(re.findall(r"# TYPE (tritonreel_\w+)", (await client.get("/metrics")).text))
    asked = {
        re.sub("_(bucket|sum|count)$", "", name) for name in re.findall(r"tritonreel_\w+", (ROOT / file).read_text())
    }
    assert asked
    assert asked - known == set()


async def test_what_was_made_is_counted(client: httpx.AsyncClient) -> None:
    await post(client, n=2, num_frames=5)
    found = await samples(client)
    assert found["tritonreel_videos_total"] == 2
    assert found["tritonreel_frames_total"] == 10
    assert found["tritonreel_encode_seconds_count"] == 2
    assert found["tritonreel_jobs_in_flight"] == 0


async def test_requests_are_counted_by_route_and_status(client: httpx.AsyncClient) -> None:
    await post(client)
    await post(client, n=11)
    await client.get("/v1/models/a")
    await client.get("/v1/models/b")
    await client.get("/no/such/path")
    await client.request("BREW", "/pot")
    found = await samples(client)
    counts = {name: value for name, value in found.items() if name.startswith("tritonreel_http_requests_total")}
    assert counts == {
        f"tritonreel_http_requests_total method=POST route={URL} status=200": 1,
        f"tritonreel_http_requests_total method=POST route={URL} status=422": 1,
        "tritonreel_http_requests_total method=GET route=/v1/models/{model_id:path} status=404": 2,
        "tritonreel_http_requests_total method=GET route=none status=404": 1,
        "tritonreel_http_requests_total method=other route=none status=404": 1,
    }
    assert found[f"tritonreel_http_request_seconds_count method=POST route={URL}"] == 2


async def test_failed_jobs_are_no_longer_in_flight(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    generator.error_for = lambda params: RuntimeError()
    await post(client, n=3)
    found = await samples(client)
    assert (found["tritonreel_jobs_in_flight"], found["tritonreel_videos_total"]) == (0, 0)


async def test_phases_of_completed_jobs_are_observed(client: httpx.AsyncClient) -> None:
    await post(client, n=2)
    found = await samples(client)
    name = "tritonreel_job_phase_seconds"
    phases = ("queue", "text", "image", "storage", "total")
    counts = {phase: found.get(f"{name}_count phase={phase}") for phase in phases}
    assert counts == {"queue": 2, "text": 2, "image": None, "storage": 1, "total": 1}
    assert found[f"{name}_sum phase=denoise"] == 2 * TIMINGS.denoise_seconds
    assert found[f"{name}_sum phase=queue"] >= 2 * TIMINGS.queue_seconds
    assert found[f"{name}_bucket le=3600.0 phase=total"] == 1


async def test_jobs_are_counted_by_their_end(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    await post(client)
    generator.error_for = lambda params: RuntimeError()
    await post(client)
    generator.error_for = lambda params: Cancelled("stopped")
    await post(client)
    found = await samples(client)
    for status in ("completed", "failed", "cancelled"):
        assert found[f"tritonreel_jobs_total key= status={status}"] == 1


async def test_requests_and_jobs_are_counted_by_the_name_of_their_key(tmp_path: Path, generator: FakeGenerator) -> None:
    file = KeyFile(tmp_path / "keys.json")
    key = file.add("ann")
    async with client_of(create_app(Settings(triton_metrics_url=NOWHERE, keys_file=file.path), generator)) as client:
        await post(client)
        client.headers["Authorization"] = f"Bearer {key}"
        await post(client)
        await post(client, n=11)
        found = await samples(client)
    counted = {name: value for name, value in found.items() if "key=" in name and "_created" not in name}
    assert counted.pop("tritonreel_key_job_seconds_total key=ann") > 0
    assert counted == {
        "tritonreel_key_requests_total key=ann status=200": 1,
        "tritonreel_key_requests_total key=ann status=422": 1,
        "tritonreel_jobs_total key=ann status=completed": 1,
    }


async def test_jobs_that_run_and_that_wait_are_told_apart(generator: FakeGenerator) -> None:
    app = create_app(Settings(triton_metrics_url=NOWHERE, max_running_jobs=1), generator)
    generator.step_gate.clear()
    async with client_of(app) as client:
        posts = [asyncio.create_task(post(client)) for _ in range(3)]
        await until(lambda: len(app.state.services.jobs._worker.places._waiting) == 2)
        found = await samples(client)
        assert (found["tritonreel_jobs_running"], found["tritonreel_jobs_waiting"]) == (1, 2)
        generator.step_gate.set()
        await asyncio.gather(*posts)
        await until(lambda: app.state.services.jobs.running == 0)
        found = await samples(client)
    assert (found["tritonreel_jobs_running"], found["tritonreel_jobs_waiting"]) == (0, 0)


async def test_a_database_and_a_storage_that_are_away_are_told(
    client: httpx.AsyncClient, app: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = await samples(client)
    monkeypatch.setattr(routes_metrics, "_DATABASE_SECONDS", 0.1)
    monkeypatch.setattr(app.state.services.jobs, "counts", asyncio.Event().wait)
    app.state.services.storage.trouble = "connection refused"
    away = await samples(client)
    for name in ("tritonreel_database_healthy", "tritonreel_storage_healthy"):
        assert (healthy[name], away[name]) == (1, 0)
    assert away["tritonreel_jobs_waiting"] == healthy["tritonreel_jobs_waiting"]


async def test_prometheus_may_ask_triton_itself() -> None:
    async with client_of(create_app(Settings(triton_metrics_url=""), FakeGenerator())) as client:
        text = (await client.get("/metrics")).text
    assert "tritonreel_jobs_waiting" in text
    assert "Triton's" not in text


async def test_tritons_own_are_beside_ours(triton_metrics_url: str) -> None:
    async with client_of(create_app(Settings(triton_metrics_url=triton_metrics_url), FakeGenerator())) as client:
        found = await samples(client)
    assert found["nv_x model=generate"] == 3
    assert "tritonreel_videos_total" in found


async def test_triton_may_be_away(client: httpx.AsyncClient) -> None:
    text = (await client.get("/metrics")).text
    assert "tritonreel_videos_total" in text
    assert text.endswith("# Triton's metrics could not be read: ConnectError\n")
