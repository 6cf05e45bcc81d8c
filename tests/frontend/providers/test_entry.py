"""`ai_video_generate`, as programs call it."""

import asyncio
import base64
import threading
from typing import Any

import pytest

from frontend.providers.demo.jobs import DemoJobs
from frontend.providers.entry import ai_video_generate, ai_video_generate_sync
from frontend.providers.errors import InvalidAnswer, ProviderNotConfigured
from frontend.providers.registry import Registry
from frontend.providers.wavespeed_services import (
    HunyuanVideoService,
    LTX2FastService,
    LTX2ProService,
    LTX2RetakeService,
)
from protocol.errors import InvalidRequest
from tests.frontend.test_videos import image_file

from .conftest import KEY


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, wavespeed_url: str) -> None:
    monkeypatch.setenv("WAVESPEED_API_KEY", KEY)
    monkeypatch.setenv("WAVESPEED_BASE_URL", wavespeed_url)
    monkeypatch.setattr("frontend.providers.wavespeed.WaveSpeed.poll_seconds", 0.02)


async def test_all_that_it_returns(wavespeed_jobs: DemoJobs) -> None:
    made = await ai_video_generate(" a fox ", provider="wavespeed", duration=8, resolution="480p", seed=3)
    assert made["video_bytes"][4:8] == b"ftyp"
    assert made["prompt"] == " a fox "
    assert (made["duration"], made["resolution"], made["cost"]) == (8.0, "480p", 0.16)
    assert (made["model_name"], made["provider"]) == ("hunyuan-video-1.5", "wavespeed")
    assert (made["width"], made["height"]) == (160, 92)  # the demonstration's, which are small
    assert made["prediction_id"] == wavespeed_jobs.taken[0].id
    assert made["source_video_url"].endswith(f"/files/{made['prediction_id']}.mp4")
    assert made["metadata"]["changes"] == []
    assert made["metadata"]["has_nsfw_contents"] == [False]


@pytest.mark.parametrize("kind", ["function", "coroutine"])
async def test_progress_is_told_in_the_thread_of_the_loop(kind: str) -> None:
    told: list[tuple[float, str]] = []
    threads = set()

    def plain(percent: float, message: str) -> None:
        told.append((percent, message))
        threads.add(threading.get_ident())

    async def coroutine(percent: float, message: str) -> None:
        await asyncio.sleep(0)
        plain(percent, message)

    await ai_video_generate("a fox", progress_callback=plain if kind == "function" else coroutine)
    percents = [percent for percent, _ in told]
    assert (percents[0], percents[-1]) == (0, 100)
    assert percents == sorted(percents)
    assert all(message for _, message in told)
    assert threads == {threading.get_ident()}


async def test_who_breaks_off_in_the_callback_stops_the_job(wavespeed_jobs: DemoJobs) -> None:
    def enough(percent: float, message: str) -> None:
        if percent > 20:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        await ai_video_generate("a fox", progress_callback=enough)
    assert wavespeed_jobs.taken[0].cancelled


@pytest.mark.parametrize("form", ["bytes", "base64", "data"])
async def test_images(wavespeed_jobs: DemoJobs, form: str) -> None:
    file = image_file(64, 48)
    text = base64.b64encode(file).decode()
    given: dict[str, dict[str, Any]] = {
        "bytes": {"image_data": file},
        "base64": {"image_base64": text},
        "data": {"image_base64": f"data:image/x;base64,{text}"},
    }
    await ai_video_generate("a fox", operation_type="image-to-video", **given[form])
    assert wavespeed_jobs.taken[0].inputs["image"] == f"data:image/png;base64,{text}"


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("prompt", {"prompt": ""}),
        ("operation_type", {"operation_type": "dance"}),
        ("image_data", {"operation_type": "image-to-video"}),
        ("image_data", {"operation_type": "image-to-video", "image_data": b"GIF89a"}),
        ("image_base64", {"image_base64": "?"}),
        ("image_base64", {"image_base64": "AAAA", "image_data": b"x"}),
        ("provider", {"provider": "nobody"}),
        ("model", {"model": "nothing"}),
        ("video", {"operation_type": "video-to-video", "model": "ltx-2-retake"}),
        ("duration", {"duration": 7, "strict": True}),
        ("audio_base64", {"audio_base64": "AAAA", "strict": True}),
    ],
)
async def test_what_cannot_be_done_is_refused_before_it_costs_anything(
    wavespeed_jobs: DemoJobs, field: str, given: dict[str, Any]
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await ai_video_generate(**{"prompt": "a fox", **given})
    assert refused.value.field == field
    assert wavespeed_jobs.asked["submit"] == 0


async def test_changes_are_told() -> None:
    made = await ai_video_generate("a fox", model="lightricks/ltx-2-pro", duration=7, audio_base64="AAAA")
    assert [change.split()[0] for change in made["metadata"]["changes"]] == ["duration", "audio_base64"]


async def test_a_provider_without_a_key_says_which_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WAVESPEED_API_KEY")
    with pytest.raises(ProviderNotConfigured, match="WAVESPEED_API_KEY"):
        await ai_video_generate("a fox")
    assert Registry().models() == []


async def test_a_file_that_only_begins_as_a_video(wavespeed_jobs: DemoJobs) -> None:
    wavespeed_jobs.content = b"\0\0\0\x18ftypmp42" + bytes(100)
    with pytest.raises(InvalidAnswer, match="without a video that can be read"):
        await ai_video_generate("a fox")


def test_without_an_event_loop() -> None:
    assert ai_video_generate_sync("a fox", duration=5)["duration"] == 5


@pytest.mark.parametrize(
    ("service", "model", "options"),
    [
        (HunyuanVideoService, "hunyuan-video-1.5", {}),
        (LTX2ProService, "ltx-2-pro", {"generate_audio": False}),
        (LTX2FastService, "ltx-2-fast", {"duration": 20}),
        (LTX2RetakeService, "ltx-2-retake", {"video": "https://example.com/a.mp4"}),
    ],
)
async def test_the_services_of_wavespeed(service: type[HunyuanVideoService], model: str, options: Any) -> None:
    assert (await service().generate_video("a fox", **options))["model_name"] == model
