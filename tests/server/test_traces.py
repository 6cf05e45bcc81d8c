"""A request, its job and what tritonserver does for it are one trace, in a real collector's words."""

import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import numpy as np
import pytest
import tritonclient.grpc.aio as grpcclient

from frontend.http.api_keys import KeyFile
from tests.conftest import Exported
from tests.otlp_collector import Collector, Span
from tests.server.running_server import RunningServer
from tests.waiting import wait_until

CLIENT = "b7ad6b7169203331"
SECRET = "of-the-collector"
PROMPT = "a red circle hushes right"


@dataclass(frozen=True)
class Traced:
    """A server, its collector and its key."""

    server: RunningServer
    collector: Collector
    key: str

    def client(self, trace: str = "", flags: str = "01") -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        if trace:
            headers["traceparent"] = f"00-{trace}-{CLIENT}-{flags}"
        return httpx.Client(base_url=self.server.url, headers=headers, timeout=120)


@pytest.fixture(scope="module")
def traced(toy: Exported, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traced")
    keys = KeyFile(folder / "keys.json")
    key = keys.add("laptop")
    with Collector() as collector, pytest.MonkeyPatch.context() as patch:
        patch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
        patch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-key={SECRET}")
        patch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with RunningServer(toy.repository, folder / "run", "--keys-file", str(keys.path)) as server:
            yield Traced(server, collector, key)
        # In this order: what is sent with the end of the processes is checked as well.
        sent = b"".join(collector.bodies)
        for secret in (SECRET, key, "hush"):
            assert secret.encode() not in sent, f"{secret} was exported"
        logs = "".join(file.read_text() for file in (folder / "run" / "logs").iterdir())
        assert SECRET not in logs + (folder / "run" / "launcher.out").read_text()


def names(spans: list[Span], parent: Span) -> list[str]:
    """Of the spans right below one."""
    return [span.name for span in spans if span.parent == parent.id]


def one(spans: list[Span], name: str, service: str) -> Span:
    (found,) = [span for span in spans if (span.name, span.service) == (name, service)]
    return found


def test_a_create_is_one_trace_through_both_services(traced: Traced) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    body = {"prompt": PROMPT, "n": 2, "seed": 1, "num_inference_steps": 3}
    with traced.client(trace) as client:
        made = client.post("/v1/videos/generations", json=body, headers={"X-Request-Id": "me"})
    assert made.status_code == 200, made.text
    wanted = {"generate job": 2, "job": 1, "POST /v1/videos/generations": 1}
    spans = traced.collector.wait_for(
        trace, lambda spans: all([span.name for span in spans].count(name) >= count for name, count in wanted.items())
    )

    create = one(spans, "POST /v1/videos/generations", "tritonreel")
    assert create.parent == CLIENT
    assert create.attributes["http.response.status_code"] == 200
    assert create.attributes["http.route"] == "/v1/videos/generations"
    assert create.attributes["tritonreel.request_id"] == "me"
    assert {"waiting", "job"} <= set(names(spans, create))

    job = one(spans, "job", "tritonreel")
    assert job.attributes["tritonreel.job_id"] == create.attributes["tritonreel.job_id"]
    assert job.attributes["tritonreel.run"] == 1
    assert names(spans, job) == ["part", "part"]
    parts = [span for span in spans if span.parent == job.id]
    assert sorted(str(part.attributes["tritonreel.part"]) for part in parts) == ["0", "1"]

    for part in parts:
        assert set(names(spans, part)) - {"InferRequest"} == {"generate job"}
        (in_generate,) = [span for span in spans if span.parent == part.id and span.name == "generate job"]
        number = part.attributes["tritonreel.part"]
        assert in_generate.service == "tritonreel-triton"
        assert in_generate.attributes["tritonreel.request_id"] == f"me-{number}"
        assert names(spans, in_generate) == ["queue", "text", "image", "denoise", "decode"]
        (denoise,) = [span for span in spans if span.parent == in_generate.id and span.name == "denoise"]
        assert denoise.attributes["tritonreel.steps"] == 3
        assert denoise.events.count("step") >= 3
        assert create.started <= job.started <= part.started <= in_generate.started <= denoise.started
        assert denoise.ended <= in_generate.ended
    assert not any(span.is_error for span in spans)
    # Two for the request, two for the job, eight for each part; Triton has three for each request to it.
    assert len(spans) <= 2 + 2 + 2 * 8 + 3 * 3


def test_log_lines_have_the_trace(traced: Traced) -> None:
    trace = "1af7651916cd43dd8448eb211c80319c"
    with traced.client(trace) as client:
        client.post("/v1/videos/generations", json={"prompt": PROMPT}, headers={"X-Request-Id": "logged"})
    logs = traced.server.run_dir / "logs"
    line = re.compile(rf"request .*path=/v1/videos/generations .*trace_id={trace}")
    # it is written after the answer has been sent
    wait_until(lambda: line.search((logs / "frontend.log").read_text()) is not None, what="the line of the request")
    assert f"job logged (trace {trace}): " in (logs / "triton.log").read_text()


def test_what_its_client_does_not_sample_is_exported_by_neither(traced: Traced) -> None:
    unsampled, sampled = "2af7651916cd43dd8448eb211c80319c", "3af7651916cd43dd8448eb211c80319c"
    for trace, flags in ((unsampled, "00"), (sampled, "01")):
        with traced.client(trace, flags) as client:
            assert client.post("/v1/videos/generations", json={"prompt": PROMPT}).status_code == 200
    # Spans leave each process in the order of their ends.
    traced.collector.wait_for(trace, lambda spans: {"generate job", "job"} <= {span.name for span in spans})
    time.sleep(6)  # Triton sends its own every five seconds
    assert traced.collector.of(unsampled) == []


def test_signatures_of_urls_are_not_exported(traced: Traced) -> None:
    trace = "4af7651916cd43dd8448eb211c80319c"
    with traced.client(trace) as client:
        made = client.post("/v1/videos/generations", json={"prompt": PROMPT, "response_format": "url"})
        url = made.json()["data"][0]["url"]
        assert client.get(url).status_code == 200
    (signature,) = parse_qs(urlsplit(url).query)["signature"]
    spans = traced.collector.wait_for(
        trace, lambda spans: any(span.name == "GET /v1/videos/{video_id}/content" for span in spans)
    )
    assert one(spans, "GET /v1/videos/{video_id}/content", "tritonreel").attributes["url.query"] == "REDACTED"
    assert signature.encode() not in b"".join(traced.collector.bodies)


def test_of_what_is_refused_no_message_is_exported(traced: Traced) -> None:
    trace = "5af7651916cd43dd8448eb211c80319c"
    with traced.client(trace) as client:
        refused = client.post("/v1/videos/generations", json={"prompt": PROMPT, "lora": [{"name": "hush"}]})
    assert refused.status_code == 400, refused.text
    assert "hush" in refused.text
    wanted = {"job", "part", "generate job", "POST /v1/videos/generations"}
    spans = traced.collector.wait_for(trace, lambda spans: wanted <= {span.name for span in spans})
    create = one(spans, "POST /v1/videos/generations", "tritonreel")
    assert (create.attributes["http.response.status_code"], create.is_error) == (400, False)
    for name, service in (("job", "tritonreel"), ("part", "tritonreel"), ("generate job", "tritonreel-triton")):
        failed = one(spans, name, service)
        assert (failed.is_error, failed.attributes["error.type"]) == (True, "InvalidRequest")


def test_tritons_own_spans_are_below_the_part(traced: Traced) -> None:
    """It loses some, so there are several chances."""
    traces = [f"8af7651916cd43dd8448eb211c8031{number:02d}" for number in range(5)]
    for trace in traces:
        with traced.client(trace) as client:
            assert client.post("/v1/videos/generations", json={"prompt": PROMPT}).status_code == 200

    def found(trace: str) -> bool:
        spans = traced.collector.of(trace)
        return any("InferRequest" in names(spans, part) for part in spans if part.name == "part")

    wait_until(lambda: any(found(trace) for trace in traces))


async def test_a_client_of_triton_joins_by_its_header(traced: Traced) -> None:
    """It knows nothing of our request parameters."""
    trace = "6af7651916cd43dd8448eb211c80319c"
    prompt = grpcclient.InferInput("prompt", [1], "BYTES")
    prompt.set_data_from_numpy(np.array([PROMPT.encode()], np.object_))

    async def once() -> object:
        yield {"model_name": "generate", "inputs": [prompt], "request_id": "direct"}

    async with grpcclient.InferenceServerClient(traced.server.grpc) as client:
        responses = client.stream_infer(once(), headers={"traceparent": f"00-{trace}-{CLIENT}-01"})
        async for result, error in responses:
            assert error is None
            if json.loads(result.as_numpy("event")[0])["type"] == "done":
                break
    spans = traced.collector.wait_for(trace, lambda spans: "generate job" in {span.name for span in spans})
    assert one(spans, "generate job", "tritonreel-triton").parent == CLIENT


def test_probes_and_documents_are_not_traced(traced: Traced) -> None:
    with traced.client("7af7651916cd43dd8448eb211c80319c") as client:
        for path in ("/health", "/health/live", "/metrics", "/docs", "/openapi.json"):
            assert client.get(path).status_code == 200, path
        client.get("/v1/models")
    spans = traced.collector.wait_for(
        "7af7651916cd43dd8448eb211c80319c", lambda spans: any(span.service == "tritonreel" for span in spans)
    )
    assert {span.name for span in spans if span.service == "tritonreel"} == {"GET /v1/models"}
    probes = [span for span in traced.collector.all() if "/health" in span.name]
    assert probes == []


@pytest.mark.parametrize("trouble", [pytest.param("away", marks=pytest.mark.long), "hangs"])
def test_a_collector_in_trouble_costs_requests_nothing(
    toy: Exported, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    with Collector(answer_after=600) as collector:
        url = collector.url if trouble == "hangs" else "http://127.0.0.1:9"
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", f"x-key={SECRET}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
        with RunningServer(toy.repository, tmp_path / "run") as server:
            for _ in range(3):
                assert server.post(prompt=PROMPT).status_code == 200
                time.sleep(2)
            began = time.monotonic()
        stopped_after = time.monotonic() - began
    # The launcher ends what takes longer: six seconds each for the frontend and for tritonserver.
    assert stopped_after < 20
    frontend = (tmp_path / "run" / "logs" / "frontend.log").read_text()
    triton = (tmp_path / "run" / "logs" / "triton.log").read_text()
    assert frontend.count("traces: ") == 1
    assert triton.count("traces: ") == 1
    assert SECRET not in frontend + triton
