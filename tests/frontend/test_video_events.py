"""What clients hear of a job, over HTTP."""

import asyncio
import base64
import io
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import av
import httpx
import openai
import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.errors import EngineFailed
from frontend.settings import Settings
from protocol.errors import ModelFailed
from tests.frontend.conftest import NOWHERE, Serve
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.jobs.specs import video_spec
from tests.model_cards import model_card, text_to_image_card
from tests.waiting import SECONDS, wait_until

SMALL: dict[str, Any] = {"prompt": "a fox", "size": "32x16", "num_inference_steps": 2, "num_frames": 9}


@dataclass(frozen=True)
class Heard:
    type: str
    data: dict[str, Any]
    id: str | None


def parsed(lines: Iterator[str]) -> Iterator[Heard]:
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            fields[name] = value
        elif "event" in fields:
            yield Heard(fields["event"], json.loads(fields["data"]), fields.get("id"))
            fields = {}


def events_of(url: str, video_id: str, last: str | None = None) -> list[Heard]:
    headers = {} if last is None else {"Last-Event-ID": last}
    with httpx.stream("GET", f"{url}/v1/videos/{video_id}/events", headers=headers, timeout=SECONDS) as response:
        assert response.status_code == 200
        return list(parsed(response.iter_lines()))


@pytest.fixture
def settings() -> Settings:
    return Settings(triton_metrics_url=NOWHERE, max_running_jobs=1)


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator([model_card(), text_to_image_card()])


def submit(app: FastAPI, job_id: str) -> None:
    """Have the server make a video that nobody waits for."""
    services = app.state.services
    loop = app.state.loop
    asyncio.run_coroutine_threadsafe(
        services.jobs.submit(video_spec(job_id=job_id, request_id=job_id, created_at=time.time())), loop
    ).result(SECONDS)


@pytest.fixture
def app(settings: Settings, generator: FakeGenerator) -> FastAPI:
    app = create_app(settings, generator)

    @app.get("/loop")
    async def loop() -> None:
        app.state.loop = asyncio.get_running_loop()

    return app


def test_a_video_is_followed_from_the_queue_to_its_end(serve: Serve, app: FastAPI, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    with serve(app) as url:
        httpx.get(f"{url}/loop")
        for number in range(3):
            submit(app, f"video_{number}")
        wait_until(lambda: "video_0" in generator.jobs)
        with httpx.stream("GET", f"{url}/v1/videos/video_2/events", timeout=SECONDS) as response:
            stream = parsed(response.iter_lines())
            first = next(event for event in stream if event.data["queue_position"] == 1)
            assert (first.type, first.data["progress"]) == ("video.queued", 0)
            generator.step_gate.set()
            rest = list(stream)
    types = [event.type for event in rest]
    assert types[-1] == "video.completed"
    assert rest[-1].data == {"type": "video.completed", "id": "video_2", "progress": 100}
    (begun, *_) = [event for event in rest if event.type == "video.in_progress" and "step" in event.data]
    assert begun.data.items() >= {"step": 1, "steps": 2, "frames_done": 0, "frames": 9, "progress": 45}.items()
    percents = [event.data["progress"] for event in [first, *rest]]
    assert percents == sorted(percents)


def test_a_client_that_was_cut_off_hears_what_it_has_missed(
    serve: Serve, app: FastAPI, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    with serve(app) as url:
        httpx.get(f"{url}/loop")
        submit(app, "video_1")
        wait_until(lambda: "video_1" in generator.jobs)
        with httpx.stream("GET", f"{url}/v1/videos/video_1/events", timeout=SECONDS) as response:
            heard = next(event for event in parsed(response.iter_lines()) if event.data.get("step") == 1)
        generator.step_gate.set()
        rest = events_of(url, "video_1", heard.id)
        assert [event.type for event in rest] == ["video.completed"]
        again = httpx.get(f"{url}/v1/videos/video_1/events", headers={"Last-Event-ID": str(rest[-1].id)})
        assert (again.status_code, again.content) == (204, b"")
        assert [event.type for event in events_of(url, "video_1")] == ["video.completed"]
        assert httpx.get(f"{url}/v1/videos/video_2/events").status_code == 404


def test_a_failed_video_says_why(serve: Serve, app: FastAPI, generator: FakeGenerator) -> None:
    with serve(app) as url:
        httpx.get(f"{url}/loop")
        generator.error_for = lambda params: EngineFailed("broken")
        submit(app, "video_1")
        last = events_of(url, "video_1")[-1]
    assert last.type == "video.failed"
    assert last.data["error"]["type"] == "server_error"
    assert "broken" not in last.data["error"]["message"]


# Streamed answers


def frames_of(entry: dict[str, Any]) -> list[bytes]:
    with av.open(io.BytesIO(base64.b64decode(entry["b64_json"])), "r") as container:
        return [frame.to_ndarray(format="rgb24").tobytes() for frame in container.decode(video=0)]


def test_a_streamed_generation_tells_its_steps_and_then_its_result(serve: Serve, app: FastAPI) -> None:
    with serve(app) as url:
        whole = httpx.post(f"{url}/v1/videos/generations", json={**SMALL, "seed": 1}).json()
        with httpx.stream(
            "POST", f"{url}/v1/videos/generations", json={**SMALL, "seed": 1, "stream": True}
        ) as response:
            heard = list(parsed(response.iter_lines()))
        (streamed,), (sent,) = heard[-1].data["data"], whole["data"]
        stored = httpx.get(streamed["url"]).content
    assert [event.type for event in heard][-2:] == ["video.completed", "video_generation.completed"]
    assert "video.in_progress" in [event.type for event in heard]
    assert stored == base64.b64decode(streamed["b64_json"])
    assert frames_of(streamed) == frames_of(sent)


def test_a_streamed_generation_that_fails_ends_with_the_error(
    serve: Serve, app: FastAPI, generator: FakeGenerator
) -> None:
    generator.error_for = lambda params: ModelFailed("the model has failed")
    with serve(app) as url:
        refused = httpx.post(f"{url}/v1/videos/generations", json={"stream": True})
        assert refused.status_code == 422
        with httpx.stream("POST", f"{url}/v1/videos/generations", json={**SMALL, "stream": True}) as response:
            heard = list(parsed(response.iter_lines()))
    assert heard[-1].type == "error"
    assert heard[-1].data["error"]["code"] == "model_failed"


def test_a_fault_of_ours_ends_a_stream_with_an_error_that_says_no_more_than_its_id(
    serve: Serve, app: FastAPI, generator: FakeGenerator
) -> None:
    generator.error_for = lambda params: RuntimeError("secret detail")
    body = {**SMALL, "stream": True}
    with serve(app) as url, httpx.stream("POST", f"{url}/v1/videos/generations", json=body) as response:
        text = response.read().decode()
    heard = list(parsed(iter(text.split("\n"))))
    assert (heard[-1].type, heard[-1].data["error"]["code"]) == ("error", "internal_error")
    assert "secret detail" not in text


def test_a_client_that_leaves_a_streamed_generation_stops_its_job(
    serve: Serve, app: FastAPI, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    with serve(app) as url:
        with httpx.stream("POST", f"{url}/v1/videos/generations", json={**SMALL, "stream": True}) as response:
            next(parsed(response.iter_lines()))
        wait_until(lambda: bool(generator.cancelled))


def test_openais_sdk_streams_images(serve: Serve, app: FastAPI) -> None:
    with serve(app) as url:
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        stream = client.images.generate(
            prompt="x", model="toy-qwen-image", n=2, stream=True, extra_body={"size": "32x16"}
        )
        events = list(stream)
    assert [event.type for event in events] == ["image_generation.completed"] * 2
    assert all(base64.b64decode(str(event.b64_json)).startswith(b"\x89PNG") for event in events)
