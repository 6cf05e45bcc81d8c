"""The runs of a job are parts of the trace in which it was created, in whichever process they are."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from frontend.errors import EngineUnavailable
from frontend.jobs.spec import JobSpec
from protocol.errors import InvalidRequest
from tests.frontend.jobs.frontend_process import Frontend, Place
from tests.frontend.jobs.job_server import JobServer, named
from tests.frontend.scripted_triton import Scripted
from tests.otlp_collector import Collector
from tests.recorded_spans import RecordedSpans, parent_of, recorded_spans, trace_of
from tests.waiting import until, wait_until
from tracing.spans import span

TRACE, CLIENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": f"00-{TRACE}-{CLIENT}-01"}


@pytest.fixture
def recorded() -> Iterator[RecordedSpans]:
    with recorded_spans() as recorded:
        yield recorded


@pytest.fixture
def server(sqlite_url: str, storage_folder: Path) -> JobServer:
    return JobServer(sqlite_url, storage_folder)


async def test_a_job_that_goes_on_after_a_restart_stays_in_its_trace(
    server: JobServer, recorded: RecordedSpans
) -> None:
    server.generator.step_gate.clear()
    async with server.started() as jobs:
        with span("create", parent=PARENT):
            await jobs.submit(named())
        await until(lambda: "video_1" in server.generator.jobs)
    server.generator.step_gate.set()
    async with server.started() as jobs:
        await jobs.wait("video_1")
        await until(lambda: len(recorded.named("job")) == 2)
    (create,) = recorded.named("create")
    assert create.context is not None
    made = [*recorded.named("waiting"), *recorded.named("job")]
    assert {(trace_of(span), parent_of(span)) for span in made} == {(TRACE, f"{create.context.span_id:016x}")}
    first, second = recorded.named("job")
    assert [(span.attributes or {})["tritonreel.run"] for span in (first, second)] == [1, 2]
    assert [event.name for event in first.events] == ["interrupted"]
    assert len(recorded.named("waiting")) == 1
    parts = recorded.named("part")
    assert [parent_of(part) for part in parts] == [
        f"{job.context.span_id:016x}" for job in (first, second) if job.context
    ]


async def test_of_a_job_that_fails_the_class_of_its_error_is_told(server: JobServer, recorded: RecordedSpans) -> None:
    server.generator.error_for = lambda _: InvalidRequest("hush", "prompt")
    async with server.started() as jobs:
        await jobs.submit(named())
        with pytest.raises(InvalidRequest):
            await jobs.wait("video_1")
    for name in ("part", "job"):
        (made,) = recorded.named(name)
        assert (made.attributes or {})["error.type"] == "InvalidRequest"
    assert "hush" not in recorded.text()
    assert "a fox" not in recorded.text()


async def test_tries_that_find_the_generator_away_leave_no_spans(server: JobServer, recorded: RecordedSpans) -> None:
    tries = 0

    def generate(*_: object, **__: object) -> object:
        nonlocal tries
        tries += 1
        if tries < 4:
            raise EngineUnavailable("away")
        return original(*_, **__)  # type: ignore[arg-type]

    original, server.generator.generate = server.generator.generate, generate  # type: ignore[method-assign, assignment]
    async with server.started() as jobs:
        await jobs.submit(named(detached=True))
        await until(lambda: len(recorded.named("job")) == 1)
    assert tries == 4
    assert len(recorded.named("part")) == 1


def test_a_job_of_an_earlier_release_has_no_trace() -> None:
    written = named().model_dump_json(exclude={"trace"})
    assert "trace" not in written
    assert JobSpec.model_validate_json(written).trace == {}


@pytest.mark.slow
def test_a_job_of_a_frontend_that_is_killed_joins_its_trace(tmp_path: Path, triton: Scripted, sqlite_url: str) -> None:
    place = Place(sqlite_url, tmp_path)
    with Collector() as collector:
        frontend = Frontend(
            tmp_path, triton.url, place.url, OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_BSP_SCHEDULE_DELAY="100"
        )
        try:
            frontend.start()
            created = httpx.post(
                f"{frontend.url}/v1/videos", json={"prompt": "steady"}, headers=PARENT | {"Prefer": "respond-async"}
            )
            wait_until(lambda: place.count("in_progress") == 1)
            frontend.kill()
            frontend.start()
            spans = collector.wait_for(TRACE, lambda spans: any(span.name == "job" for span in spans))
        finally:
            frontend.kill()
            place.close()
    (create,) = [span for span in spans if span.name == "POST /v1/videos"]
    (job,) = [span for span in spans if span.name == "job"]
    assert create.parent == CLIENT
    assert job.parent == create.id
    assert (job.attributes["tritonreel.run"], job.attributes["tritonreel.job_id"]) == (2, created.json()["id"])
