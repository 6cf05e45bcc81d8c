"""`ai_video_generate` with a Tritonreel server on a real socket."""

import asyncio
import os
from collections.abc import Iterator

import httpx
import pytest
from pydantic import SecretStr

from frontend.app import create_app
from frontend.providers.entry import ai_video_generate
from frontend.providers.errors import GenerationFailed, ProviderDeadline, ProviderKeyRefused, RequestRefused
from frontend.providers.registry import Registry
from frontend.settings import Settings
from protocol.errors import InvalidRequest, ModelFailed
from tests.frontend.conftest import NOWHERE, running, url_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_videos import image_file
from tests.model_cards import image_to_video_card, model_card
from tests.waiting import until

KEY = "the-key-of-the-server"


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator([model_card(), image_to_video_card()])


@pytest.fixture(autouse=True)
def server(generator: FakeGenerator, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    app = create_app(Settings(triton_metrics_url=NOWHERE, api_key=SecretStr(KEY)), generator, Registry({}))
    with running(app) as there:
        monkeypatch.setenv("TRITONREEL_URL", url_of(there))
        monkeypatch.setenv("TRITONREEL_API_KEY", KEY)
        yield


async def test_its_models_make_videos_and_go_on(generator: FakeGenerator) -> None:
    told: list[float] = []
    made = await ai_video_generate(
        "a fox", provider="local", duration=2, seed=3, progress_callback=lambda percent, _: told.append(percent)
    )
    assert made["video_bytes"][4:8] == b"ftyp"
    assert (made["provider"], made["model_name"], made["cost"]) == ("local", "toy-wan-t2v", 0)
    assert (made["duration"], made["metadata"]["changes"]) == (17 / 8, [])
    assert [spec.seed for spec in generator.jobs.values()] == [3]
    assert (told[0], told[-1]) == (0, 100)
    assert told == sorted(told)

    longer = await ai_video_generate(
        "it goes on",
        operation_type="video-extension",
        provider="local",
        video=made["prediction_id"],
        duration=1,
        audio_base64="AAAA",
    )
    assert (longer["model_name"], longer["duration"]) == ("toy-wan-i2v", (17 + 8) / 8)
    assert [change.split()[0] for change in longer["metadata"]["changes"]] == ["audio_base64"]


async def test_an_image(generator: FakeGenerator) -> None:
    made = await ai_video_generate(
        "a fox", image_file(64, 48), operation_type="image-to-video", provider="local", model="toy-wan-i2v"
    )
    assert made["model_name"] == "toy-wan-i2v"
    (job,) = generator.jobs.values()
    assert job.image is not None


async def test_what_it_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestRefused) as refused:
        await ai_video_generate("a fox", provider="local", duration=60, strict=True)
    assert refused.value.field == "strict"
    with pytest.raises(RequestRefused) as refused:
        await ai_video_generate("a fox", provider="local", model="nothing")
    assert refused.value.field == "model"
    with pytest.raises(InvalidRequest) as unheard:
        await ai_video_generate("a fox", provider="local", audio_base64="AAAA", strict=True)
    assert unheard.value.field == "audio_base64"
    monkeypatch.setenv("TRITONREEL_API_KEY", "another")
    with pytest.raises(ProviderKeyRefused, match="Check TRITONREEL_API_KEY"):
        await ai_video_generate("a fox", provider="local")


async def test_a_job_that_failed_keeps_its_reason_there(generator: FakeGenerator) -> None:
    generator.error_for = lambda spec: ModelFailed("the GPU is on fire")
    with pytest.raises(GenerationFailed, match="the GPU is on fire") as failed:
        await ai_video_generate("a fox", provider="local")
    headers = {"Authorization": f"Bearer {KEY}"}
    url = f"{os.environ['TRITONREEL_URL']}/v1/videos/{failed.value.prediction_id}"
    assert httpx.get(url, headers=headers).json()["error"]["message"] == "the GPU is on fire"


async def test_a_job_whose_caller_gives_up_is_stopped(generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    with pytest.raises(ProviderDeadline) as late:
        await ai_video_generate("a fox", provider="local", timeout_seconds=1.0)
    assert late.value.prediction_id
    working = asyncio.create_task(ai_video_generate("a fox", provider="local"))
    await until(lambda: len(generator.jobs) == 2)
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    await until(lambda: len(generator.cancelled) == 2)
