"""The official client library works unchanged."""

from pathlib import Path
from typing import Any

import openai
import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.http.api_keys import KeyFile
from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE, Serve
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_videos import data_uri, image_file
from tests.model_cards import image_to_video_card, model_card


def client_at(url: str, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0)


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator([model_card(), image_to_video_card()])


def test_openais_sdk_lists_the_models(serve: Serve, app: FastAPI) -> None:
    with serve(app) as url:
        client = client_at(url)
        assert [model.id for model in client.models.list()] == ["toy-wan-t2v", "toy-wan-i2v"]
        assert client.models.retrieve("toy-wan-t2v").owned_by == "tritonreel"
        with pytest.raises(openai.NotFoundError) as error:
            client.models.retrieve("sora")
    assert (error.value.code, error.value.param) == ("model_not_found", "model")


def test_openais_sdk_makes_a_video_and_downloads_it(serve: Serve, app: FastAPI, generator: FakeGenerator) -> None:
    with serve(app) as url:
        client = client_at(url)
        own_size: dict[str, Any] = {"size": "32x16"}  # which none of OpenAI's models has
        video = client.videos.create_and_poll(prompt="x", model="toy-wan-t2v", seconds="4", **own_size)
        assert (video.status, video.progress, video.model, video.size) == ("completed", 100, "toy-wan-t2v", "32x16")
        assert (video.object, video.prompt, video.error, video.remixed_from_video_id) == ("video", "x", None, None)
        assert video.seconds == "4.125"  # 33 frames at 8 a second
        assert client.videos.retrieve(video.id) == video
        assert client.videos.download_content(video.id).content[4:8] == b"ftyp"
        assert client.videos.download_content(video.id, variant="thumbnail").content[8:12] == b"WEBP"
        with pytest.raises(openai.NotFoundError):
            client.videos.retrieve("video_other")


def test_openais_sdk_uploads_an_image(serve: Serve, app: FastAPI, generator: FakeGenerator) -> None:
    with serve(app) as url:
        video = client_at(url).videos.create(prompt="x", input_reference=("red.png", image_file(96, 48)))
    assert (video.model, video.size) == ("toy-wan-i2v", "64x32")
    (job,) = generator.jobs.values()
    assert job.image is not None
    assert job.image[0, 0].tolist() == [255, 0, 0]


def test_openais_sdk_sends_what_it_does_not_know_as_extra_body(
    serve: Serve, app: FastAPI, generator: FakeGenerator
) -> None:
    extra = {"seed": 5, "guidance_scale": 1.5, "lora": {"name": "ink", "scale": 0.5}, "stream": False}
    extra |= {"input_reference": {"image_url": data_uri(image_file())}}
    with serve(app) as url:
        video = client_at(url).videos.create(prompt="x", extra_body=extra)
    assert video.status == "completed"
    (job,) = generator.jobs.values()
    assert (job.seed, job.guidance_scale, job.lora[0].name, job.lora[0].scale) == (5, 1.5, "ink", 0.5)
    assert job.image is not None


def test_openais_sdk_shows_what_is_wrong(serve: Serve, app: FastAPI) -> None:
    wrong: dict[str, Any] = {"seconds": "long"}
    with serve(app) as url:
        with pytest.raises(openai.BadRequestError) as bad_image:
            client_at(url).videos.create(prompt="x", input_reference=b"hello")
        with pytest.raises(openai.UnprocessableEntityError) as bad_field:
            client_at(url).videos.create(prompt="x", **wrong)
    assert (bad_image.value.code, bad_image.value.param) == ("invalid_image", "input_reference")
    assert (bad_field.value.code, bad_field.value.param) == ("invalid_type", "seconds")


def test_openais_sdk_sends_its_key(serve: Serve, generator: FakeGenerator, tmp_path: Path) -> None:
    file = KeyFile(tmp_path / "keys.json")
    key = file.add("sdk")
    with serve(create_app(Settings(triton_metrics_url=NOWHERE, keys_file=file.path), generator)) as url:
        for wrong in ("none", key[:-1], f"{key}a"):
            with pytest.raises(openai.AuthenticationError) as error:
                client_at(url, wrong).videos.create(prompt="x")
            assert (error.value.code, error.value.type) == ("invalid_api_key", "invalid_request_error")
        assert generator.jobs == {}
        video = client_at(url, key).videos.create_and_poll(prompt="x")
        assert client_at(url, key).videos.download_content(video.id).content[4:8] == b"ftyp"
        file.revoke("sdk")
        with pytest.raises(openai.AuthenticationError):
            client_at(url, key).models.list()
