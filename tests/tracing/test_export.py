"""Each test has a process of its own: OpenTelemetry's provider is one per process."""

import os
import subprocess
import sys
import time

import pytest

from tests.otlp_collector import Collector
from tracing.export import service_name, traces_url

NOBODY = "http://127.0.0.1:9"
"""the discard port: nobody listens"""
EXPORTED = """
import time
from tracing.export import start_traces, stop_traces
from tracing.spans import span
start_traces("test")
for number in range(3):
    with span(f"a-{number}"):
        pass
    time.sleep(0.3)
began = time.monotonic()
stop_traces()
print(time.monotonic() - began)
"""


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    return subprocess.run(
        [sys.executable, "-c", code],
        env=clean | {"OTEL_BSP_SCHEDULE_DELAY": "50"} | environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": ""},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": NOBODY, "OTEL_SDK_DISABLED": "true"},
        {"OTEL_EXPORTER_OTLP_ENDPOINT": NOBODY, "OTEL_TRACES_EXPORTER": "none"},
    ],
)
def test_nothing_of_the_sdk_is_imported_where_traces_are_off(environment: dict[str, str]) -> None:
    done = run(
        "import sys, frontend.app, frontend.jobs.dbos_queue\n"
        "from tracing.export import start_traces, stop_traces\n"
        "start_traces('test')\n"
        "stop_traces()\n"
        "print([name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'opentelemetry.exporter'))])",
        **environment,
    )
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("environment", "url"),
    [
        ({}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318/"}, "http://c:4318/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://t/x"}, "http://t/x"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "True"}, None),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_SDK_DISABLED": "false"}, "http://c/v1/traces"),
        ({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c", "OTEL_TRACES_EXPORTER": "console"}, None),
    ],
)
def test_where_spans_are_sent(environment: dict[str, str], url: str | None) -> None:
    assert traces_url(environment) == url


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "default"),
        ({"OTEL_SERVICE_NAME": "videos"}, "videos"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "a=b, service.name=videos"}, "videos"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=other", "OTEL_SERVICE_NAME": "videos"}, "videos"),
    ],
)
def test_what_the_service_is_called(environment: dict[str, str], name: str) -> None:
    assert service_name("default", environment) == name


def test_spans_reach_the_collector_with_what_the_environment_says_of_them() -> None:
    with Collector() as collector:
        run(
            EXPORTED,
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url,
            OTEL_EXPORTER_OTLP_HEADERS="authorization=Basic%20abc",
            OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=staging",
        )
    assert {(span.service, span.name) for span in collector.all()} == {("test", f"a-{number}") for number in range(3)}
    assert {headers["authorization"] for headers in collector.headers} == {"Basic abc"}
    assert all(b"staging" in body for body in collector.bodies)


def test_the_last_spans_are_sent_before_the_process_ends() -> None:
    with Collector() as collector:
        run(EXPORTED, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="60000")
    assert len(collector.all()) == 3


def test_the_environment_says_what_is_sampled() -> None:
    with Collector() as collector:
        run(EXPORTED, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER="always_off")
    assert collector.bodies == []


def test_a_collector_that_is_away_costs_one_line_and_a_second() -> None:
    done = run(EXPORTED, OTEL_EXPORTER_OTLP_ENDPOINT=NOBODY)
    assert float(done.stdout) < 2
    assert done.stderr.count("\n") == 1
    assert "traces: " in done.stderr


def test_a_collector_that_hangs_keeps_no_process() -> None:
    with Collector(answer_after=60) as collector:
        began = time.monotonic()
        done = run(EXPORTED, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
        assert time.monotonic() - began < 10
    assert 0.5 < float(done.stdout) < 2


def test_headers_that_cannot_be_read_are_not_quoted() -> None:
    done = run(EXPORTED, OTEL_EXPORTER_OTLP_ENDPOINT=NOBODY, OTEL_EXPORTER_OTLP_HEADERS="hush hush")
    assert "OTEL_EXPORTER_OTLP_HEADERS must be NAME=VALUE pairs" in done.stderr
    assert "hush" not in done.stdout + done.stderr
