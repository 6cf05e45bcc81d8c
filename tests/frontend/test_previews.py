"""What clients see of a video or image before it is done, over HTTP."""

import asyncio
import base64
import io
import json
import time
from collections.abc import AsyncGenerator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from fastapi import FastAPI
from openai.types import ImageGenPartialImageEvent
from PIL import Image

from frontend import job_events
from frontend.app import create_app
from frontend.generators.generator import Preview
from frontend.http.sse import ServerSentEvent
from frontend.job_events import progress_events
from frontend.jobs.events import JobEvent, PartPreview
from frontend.jobs.state import Job
from frontend.media.preview import PreviewFile, preview_webp
from frontend.settings import Settings
from protocol.errors import ModelFailed
from tests.frontend.conftest import NOWHERE, Serve
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.jobs.specs import video_spec
from tests.frontend.previews_gate import hold_previews
from tests.frontend.test_video_events import SMALL, Heard, parsed
from tests.model_cards import model_card, text_to_image_card
from tests.waiting import SECONDS


@pytest.fixture
def generator(monkeypatch: pytest.MonkeyPatch) -> FakeGenerator:
    generator = FakeGenerator([model_card(), text_to_image_card()])
    generator.previews = 2
    hold_previews(generator, monkeypatch)
    return generator


def image_of(b64_json: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(b64_json)))


def streamed(url: str, **params: Any) -> list[Heard]:
    with httpx.stream(
        "POST", f"{url}/v1/videos/generations", json={**SMALL, "stream": True}, params=params, timeout=SECONDS
    ) as response:
        assert response.status_code == 200
        return list(parsed(response.iter_lines()))


def test_a_stream_shows_previews_to_who_asks(serve: Serve, app: FastAPI) -> None:
    with serve(app) as url:
        heard, without = streamed(url, previews=True), streamed(url)
    previews = [event for event in heard if event.type == "video.preview"]
    assert [event.data["step"] for event in previews] == [1, 2]
    assert heard[-1].type == "video_generation.completed"
    for event in previews:
        assert event.id is None  # they say nothing of the state, which ids tell
        assert event.data.items() >= {"index": 0, "steps": 2, "width": 32, "height": 16}.items()
        image = image_of(event.data["b64_json"])
        assert (image.format, image.size) == ("WEBP", (32, 16))
    assert "video.preview" not in [event.type for event in without]


def test_who_comes_late_or_comes_back_sees_the_latest(serve: Serve, app: FastAPI, generator: FakeGenerator) -> None:
    generator.frames_gate.clear()
    with serve(app) as url:
        body = {**SMALL, "prompt": "a fox", "n": 1}
        created = httpx.post(f"{url}/v1/videos", json=body, headers={"Prefer": "respond-async"}).json()
        events = f"{url}/v1/videos/{created['id']}/events"
        with httpx.stream("GET", events, params={"previews": True}, timeout=SECONDS) as response:
            stream = parsed(response.iter_lines())
            heard = [next(event for event in stream if event.data.get("step") == 2)]
            with httpx.stream("GET", events, params={"previews": True}, timeout=SECONDS) as late_response:
                late = parsed(late_response.iter_lines())
                seen = next(event for event in late if event.type == "video.preview")
            generator.frames_gate.set()
            heard += stream
        assert (seen.data["step"], seen.data) == (2, heard[0].data)
        assert [event.type for event in heard][-1] == "video.completed"
        again = httpx.get(events, params={"previews": True}, headers={"Last-Event-ID": str(heard[-1].id)})
    assert again.status_code == 204
    ids = [event.id for event in heard if event.type != "video.preview"]
    assert None not in ids
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize(("path", "kind"), [("/v1/videos/generations", "video"), ("/v1/images/generations", "image")])
def test_a_job_of_either_kind_is_followed_with_previews_to_its_end(
    serve: Serve, app: FastAPI, generator: FakeGenerator, path: str, kind: str
) -> None:
    generator.frames_gate.clear()
    with serve(app) as url:
        body = {"prompt": "a fox", "size": "32x16", "num_inference_steps": 2}
        created = httpx.post(url + path, json=body, headers={"Prefer": "respond-async"}).json()
        events = f"{url}/v1/jobs/{created['id']}/events"
        with httpx.stream("GET", events, params={"previews": True}, timeout=SECONDS) as response:
            stream = parsed(response.iter_lines())
            preview = next(event for event in stream if event.type == "job.preview" and event.data["step"] == 2)
            generator.frames_gate.set()
            rest = list(stream)
        again = httpx.get(events, headers={"Last-Event-ID": str(rest[-1].id)})
        generator.error_for = lambda params: ModelFailed("broken")
        created = httpx.post(url + path, json=body, headers={"Prefer": "respond-async"}).json()
        with httpx.stream("GET", f"{url}/v1/jobs/{created['id']}/events", timeout=SECONDS) as response:
            failed = list(parsed(response.iter_lines()))[-1]
    assert created["kind"] == kind
    assert image_of(preview.data["b64_json"]).size == (32, 16)
    assert {event.type for event in rest[:-1]} <= {"job.queued", "job.in_progress", "job.preview"}
    assert rest[-1].data == {"type": "job.completed", "id": preview.data["id"], "progress": 100}
    assert (again.status_code, again.content) == (204, b"")
    assert (failed.type, failed.data["error"]["code"]) == ("job.failed", "model_failed")


async def test_a_preview_is_encoded_once_for_all_who_listen(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[PreviewFile] = []

    def encode(*what: Any) -> PreviewFile:
        encoded.append(preview_webp(*what))
        return encoded[-1]

    monkeypatch.setattr(job_events, "preview_webp", encode)
    previews = [PartPreview(0, Preview(np.full((2, 4, 3), step, np.uint8), step, 2)) for step in (1, 2)]

    async def events() -> AsyncGenerator[JobEvent, None]:
        for preview in previews:
            yield preview

    async def heard() -> list[ServerSentEvent]:
        return [told async for told in progress_events(Job(spec=video_spec()), events())]

    first, *others = await asyncio.gather(*(heard() for _ in range(3)))
    assert [json.loads(told.data)["step"] for told in first] == [1, 2]
    assert others == [first, first]
    assert len(encoded) == 2


def test_a_server_that_turns_them_off_has_none(serve: Serve, generator: FakeGenerator) -> None:
    app = create_app(Settings(triton_metrics_url=NOWHERE, preview_seconds=0), generator)
    with serve(app) as url:
        assert "video.preview" not in [event.type for event in streamed(url, previews=True)]


def test_a_preview_has_the_proportions_of_its_video_and_no_more_pixels() -> None:
    pixels = np.zeros((60, 104, 3), np.uint8)
    for size, expected in (((832, 480), (256, 148)), ((480, 832), (148, 256)), ((64, 48), (64, 48))):
        file = preview_webp(pixels, *size)
        assert (file.width, file.height) == expected
        assert Image.open(io.BytesIO(file.content)).size == expected


# OpenAI's partial images


def partials(url: str, count: int, **options: Any) -> list[Any]:
    client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
    return list(
        client.images.generate(
            prompt="x",
            model="toy-qwen-image",
            stream=True,
            partial_images=count,
            extra_body={"size": "32x16", "num_inference_steps": 8},
            **options,
        )
    )


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
def test_openais_sdk_gets_as_many_partial_images_as_it_asks_for(
    serve: Serve, app: FastAPI, count: int, output_format: Any
) -> None:
    before = int(time.time())
    with serve(app) as url:
        *partial, last = partials(url, count, output_format=output_format)
    assert last.type == "image_generation.completed"
    assert [event.partial_image_index for event in partial] == list(range(count))
    for number, event in enumerate(partial, start=1):
        ImageGenPartialImageEvent.model_validate(event.model_dump(), strict=True)
        assert (event.type, event.size, event.quality) == ("image_generation.partial_image", "32x16", "auto")
        assert (event.background, event.output_format) == ("opaque", output_format)
        assert event.created_at >= before
        image = image_of(event.b64_json)
        assert (image.format, image.size) == (output_format.upper(), (32, 16))
        assert np.abs(np.asarray(image).astype(int) - 10 * number).max() <= 3


def test_partial_images_of_several_images_say_of_which(serve: Serve, app: FastAPI) -> None:
    with serve(app) as url:
        *partial, first, second = partials(url, 2, n=2)
    assert [first.type, second.type] == ["image_generation.completed"] * 2
    assert sorted((event.index, event.partial_image_index) for event in partial) == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_no_partial_images_are_sent_unless_they_are_asked_for(
    serve: Serve, app: FastAPI, generator: FakeGenerator
) -> None:
    generator.previews_gate.set()  # nobody listens
    with serve(app) as url:
        assert [event.type for event in partials(url, 0)] == ["image_generation.completed"]
