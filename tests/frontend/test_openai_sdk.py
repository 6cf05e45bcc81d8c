"""The official client library works unchanged."""

import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.http.api_keys import KeyFile
from frontend.settings import Settings
from protocol.errors import InvalidRequest
from tests.frontend.conftest import NOWHERE, Serve
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.previews_gate import hold_previews
from tests.frontend.test_videos import data_uri, image_file
from tests.model_cards import image_to_video_card, model_card, text_to_image_card
from tests.waiting import SECONDS, wait_until


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


def test_openais_sdk_creates_now_and_polls(serve: Serve, app: FastAPI) -> None:
    prefer: dict[str, Any] = {"extra_headers": {"Prefer": "respond-async"}}
    with serve(app) as url:
        client = client_at(url)
        created = client.videos.create(prompt="x", **prefer)
        assert created.status in ("queued", "in_progress", "completed")
        polled = client.videos.poll(created.id)
        made = client.videos.create_and_poll(prompt="x", **prefer)
    # Strict: what the SDK was told to expect is what it got, though it takes anything.
    for video in (created, polled, made):
        fields = video.model_dump(exclude={"size", "seconds", "model"})
        openai.types.Video.model_validate(fields | {"size": "720x1280", "seconds": "4", "model": "x"}, strict=True)
    assert (polled.status, made.status) == ("completed", "completed")


def test_openais_sdk_shows_a_video_that_failed(serve: Serve, app: FastAPI, generator: FakeGenerator) -> None:
    generator.error_for = lambda params: InvalidRequest("must be odd", "width")
    with serve(app) as url:
        video = client_at(url).videos.create_and_poll(prompt="x", extra_headers={"Prefer": "respond-async"})
    assert video.status == "failed"
    assert video.error is not None
    assert (video.error.code, video.error.message) == ("unsupported_value", "must be odd")


def test_openais_sdk_lists_videos_over_pages_and_deletes_them(serve: Serve, app: FastAPI) -> None:
    with serve(app) as url:
        client = client_at(url)
        made = [client.videos.create(prompt=prompt).id for prompt in "abcde"]
        assert [video.id for video in client.videos.list(limit=2)] == made[::-1]
        page = client.videos.list(limit=2, order="asc", after=made[0])
        assert ([video.id for video in page.data], page.has_more) == (made[1:3], True)
        deleted = client.videos.delete(made[0])
        assert (deleted.id, deleted.object, deleted.deleted) == (made[0], "video.deleted", True)
        with pytest.raises(openai.NotFoundError):
            client.videos.retrieve(made[0])
        assert [video.id for video in client.videos.list()] == made[:0:-1]


def test_openais_sdk_downloads_every_variant(serve: Serve, app: FastAPI) -> None:
    with serve(app) as url:
        client = client_at(url)
        video = client.videos.create(prompt="x", extra_body={"n": 2})
        video_file, thumbnail, sheet = (
            client.videos.download_content(video.id, variant=variant).content
            for variant in ("video", "thumbnail", "spritesheet")
        )
        second = client.videos.download_content(video.id, extra_query={"index": 1}).content
    assert (video_file[4:8], thumbnail[8:12], sheet[:2]) == (b"ftyp", b"WEBP", b"\xff\xd8")
    assert second[4:8] == b"ftyp"


def test_openais_sdk_remixes_and_extends_and_is_told_what_is_not_there(serve: Serve, app: FastAPI) -> None:
    with serve(app) as url:
        client = client_at(url)
        original = client.videos.create(prompt="x")
        remix = client.videos.remix(original.id, prompt="y")
        by_id: dict[str, Any] = {"video": b"", "extra_body": {"video": {"id": original.id}}}
        longer = client.videos.extend(prompt="y", seconds="4", **by_id)
        with pytest.raises(openai.InternalServerError) as no_edit:
            client.videos.edit(prompt="y", **by_id)
    assert (no_edit.value.status_code, no_edit.value.code) == (501, "not_implemented")
    assert float(longer.seconds) == float(original.seconds) + 4
    assert (remix.status, remix.prompt, remix.remixed_from_video_id) == ("completed", "y", original.id)


def test_openais_sdk_that_tries_again_finds_its_first_job(serve: Serve, app: FastAPI, generator: FakeGenerator) -> None:
    """Its first attempt runs out of time, which takes the connection with it."""
    generator.step_gate.clear()

    @app.post("/go-on")
    async def go_on() -> None:
        generator.step_gate.set()

    with serve(app) as url, ThreadPoolExecutor() as pool:
        client = client_at(url).with_options(timeout=1.0, max_retries=8)
        creating = pool.submit(client.videos.create, prompt="x")
        wait_until(lambda: 'route="/v1/videos",status="499"' in httpx.get(f"{url}/metrics").text)
        httpx.post(f"{url}/go-on")
        assert creating.result(30).status == "completed"
    assert len(generator.jobs) == 1
    assert generator.cancelled == []


def test_openais_sdk_finds_models_whose_names_have_slashes(serve: Serve) -> None:
    app = create_app(Settings(triton_metrics_url=NOWHERE), FakeGenerator([model_card("org/name")]))
    with serve(app) as url:
        assert client_at(url).models.retrieve("org/name").id == "org/name"


def test_openais_node_sdk_works_too(serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Which `make test` installs where there is npm."""
    modules = Path(sys.prefix) / "node" / "node_modules"
    if not modules.exists() or shutil.which("node") is None:
        pytest.skip("no Node SDK")
    (tmp_path / "node_modules").symlink_to(modules)
    script = shutil.copy(Path(__file__).with_name("openai_sdk.mjs"), tmp_path)
    cards = [model_card(), image_to_video_card(), text_to_image_card()]
    generator = FakeGenerator(cards)
    hold_previews(generator, monkeypatch)
    with serve(create_app(Settings(triton_metrics_url=NOWHERE), generator)) as url:
        done = subprocess.run(
            ["node", script, f"{url}/v1"], capture_output=True, text=True, timeout=SECONDS, check=False
        )
    assert (done.returncode, done.stdout) == (0, "ok\n"), done.stderr
