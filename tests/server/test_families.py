"""Every family from one server, side by side."""

import asyncio
import base64
import io
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from openai import OpenAI
from PIL import Image

from protocol.model_card import CARD_FILE, ModelCard
from protocol.resolve import parse, resolve
from tests.conftest import Exported
from tests.parity.compared import random_image
from tests.parity.references import open_reference

from .grpc_client import GenerateError, generate
from .running_server import RunningServer
from .video import Video

GIB = 2**30

REQUESTS: dict[str, dict[str, Any]] = {
    "tiny-two-experts": {"width": 64, "height": 48},
    "tiny-i2v": {"width": 80, "height": 48, "image": random_image(80, 48)},
    "tiny-ti2v": {"width": 64, "height": 96, "image": random_image(64, 96)},
    "tiny-qwen-image": {"width": 96, "height": 64},
}


def cards(families: dict[str, Exported]) -> dict[str, ModelCard]:
    folder = next(iter(families.values())).repository / "generate" / "1"
    return {card.id: card for card in (ModelCard.read(file.parent) for file in folder.glob(f"*/{CARD_FILE}"))}


def png(pixels: NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


async def test_all_at_once_each_equals_diffusers(families_server: RunningServer, families: dict[str, Exported]) -> None:
    """Within one 8-bit level."""
    common: dict[str, Any] = {"prompt": "a red circle", "seed": 3}
    made = await asyncio.gather(
        *(generate(families_server.grpc, model=model, **common, **fields) for model, fields in REQUESTS.items())
    )
    for (model, fields), video in zip(REQUESTS.items(), made, strict=True):
        card = cards(families)[model]
        params = resolve(parse({**common, **fields}), card)
        expected = open_reference(families[model].checkpoint).frames(params, card.max_sequence_length)
        assert video.frames.shape == expected.shape
        assert np.abs(video.frames - (expected * 255).round()).max() <= 1
        assert expected.std() > 0.01


def test_all_fit_into_six_gigabytes(families_server: RunningServer) -> None:
    assert sum(process.memory_full_info().pss for process in families_server.processes()) < 6 * GIB


def test_each_says_what_it_does(families_server: RunningServer) -> None:
    listed = httpx.get(f"{families_server.url}/v1/models").json()["data"]
    assert {model["id"]: model["tasks"] for model in listed} == {
        "tiny-two-experts": ["text-to-video"],
        "tiny-i2v": ["image-to-video"],
        "tiny-ti2v": ["text-to-video", "image-to-video"],
        "tiny-qwen-image": ["text-to-image"],
    }


def test_an_image_becomes_a_video_of_its_aspect_that_starts_from_it(families_server: RunningServer) -> None:
    """TI2V keeps latent frame 0: videos of two seeds begin alike and end unlike."""
    videos = []
    for seed in (1, 2):
        response = httpx.post(
            f"{families_server.url}/v1/videos",
            data={"model": "tiny-ti2v", "prompt": "it moves", "seed": str(seed)},
            files={"input_reference": ("image.png", png(random_image(300, 150)), "image/png")},
            timeout=120,
        )
        assert response.status_code == 200, response.text
        video = Video(response.json()["data"][0]["b64_json"])
        assert video.frames.shape[0] == response.json()["num_frames"]
        assert video.frames.shape[2] / video.frames.shape[1] == pytest.approx(2, abs=0.5)
        videos.append(video.frames.astype(int))
    difference = np.abs(videos[0] - videos[1]).mean(axis=(1, 2, 3))
    assert difference[0] < difference[-1] / 4, f"the first frame is the image's, whatever the seed: {difference}"


def test_a_prompt_becomes_images(families_server: RunningServer) -> None:
    """The same for the same seed, different for another; the negative prompt changes them."""

    def images(**fields: Any) -> list[bytes]:
        body = {"prompt": "a red circle", "seed": 5, **fields}
        response = httpx.post(f"{families_server.url}/v1/images/generations", json=body, timeout=120)
        assert response.status_code == 200, response.text
        return [base64.b64decode(one["b64_json"]) for one in response.json()["data"]]

    four = images(n=4)
    assert len(set(four)) == 4
    assert images(seed=5) == four[:1]
    assert images(seed=8) == four[3:]
    assert images(negative_prompt="a red circle, blurry") != four[:1]
    with Image.open(io.BytesIO(four[0])) as image:
        assert (image.format, image.size, image.mode) == ("PNG", (64, 48), "RGB")


def test_the_openai_package_makes_images_and_videos(families_server: RunningServer, tmp_path: Path) -> None:
    client = OpenAI(base_url=f"{families_server.url}/v1", api_key="none", max_retries=0)
    first = tmp_path / "first.png"
    first.write_bytes(png(random_image(64, 48)))

    images = client.images.generate(model="tiny-qwen-image", prompt="a red circle", n=2, size="96x64")
    own_size: dict[str, Any] = {"size": "64x48"}  # which none of OpenAI's models has
    from_text = client.videos.create(model="tiny-two-experts", prompt="a red circle", seconds="4", **own_size)
    from_image = client.videos.create_and_poll(model="tiny-i2v", prompt="it moves", input_reference=first)

    assert images.data is not None
    shapes = [Image.open(io.BytesIO(base64.b64decode(one.b64_json or ""))).size for one in images.data]
    assert shapes == [(96, 64)] * 2
    for video, size in ((from_text, "64x48"), (from_image, "64x48")):
        assert (video.status, video.progress, video.size) == ("completed", 100, size)
        file = client.videos.download_content(video.id).read()
        assert Video(base64.b64encode(file).decode()).frames.shape[1:] == (48, 64, 3)


async def test_an_image_of_another_size_than_the_video_is_refused(families_server: RunningServer) -> None:
    with pytest.raises(GenerateError, match=r"invalid_request\[image\].*\[48, 80, 3\]"):
        await generate(
            families_server.grpc, model="tiny-i2v", prompt="x", width=80, height=48, image=random_image(64, 48)
        )


def test_only_the_chosen_models_are_loaded(families: dict[str, Exported], tmp_path: Path) -> None:
    repository = families["tiny-i2v"].repository
    with RunningServer(repository, tmp_path, "--model", "tiny-qwen-image", "--model", "tiny-i2v") as server:
        listed = httpx.get(f"{server.url}/v1/models").json()["data"]
        assert [model["id"] for model in listed] == ["tiny-qwen-image", "tiny-i2v"]
        response = server.post(model="tiny-two-experts", prompt="x")
        assert response.status_code == 404
        error = response.json()["error"]
        assert error["param"] == "model"
        assert "tiny-qwen-image, tiny-i2v" in error["message"]
        loaded = {process.cmdline()[-1] for process in server.processes()}
        assert not any("wan_t2v" in argument for argument in loaded)
