"""Previews of a trained model, through the whole product: they become the video, and change nothing of it."""

import base64
import io
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from numpy.typing import NDArray
from PIL import Image

from tests.frontend.test_video_events import Heard, parsed

from .running_server import RunningServer
from .video import Video

STEPS = 20
REQUEST: dict[str, Any] = {
    "prompt": "a blue triangle growing on a grey background",
    "num_inference_steps": STEPS,
    "seed": 2,
    "stream": True,
}


@pytest.fixture(scope="module")
def showing_server(toy: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server that shows almost every step."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRITONREEL_PREVIEW_SECONDS", "0.0001")
        with RunningServer(toy.repository, tmp_path_factory.mktemp("showing")) as running:
            yield running


def streamed(server: RunningServer, **params: Any) -> list[Heard]:
    url = f"{server.url}/v1/videos/generations"
    with httpx.stream("POST", url, json=REQUEST, params=params, timeout=240) as response:
        assert response.status_code == 200
        return list(parsed(response.iter_lines()))


def image_of(b64_json: str) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(b64_json))).convert("RGB"))


def shrunk(image: NDArray[Any]) -> NDArray[np.float64]:
    """The mean of each 8 x 8 pixels, which is what a latent cell stands for."""
    height, width, _ = image.shape
    means: NDArray[np.float64] = image.reshape(height // 8, 8, width // 8, 8, 3).mean(axis=(1, 3))
    return means


def test_previews_become_the_video_and_change_nothing_of_it(showing_server: RunningServer) -> None:
    heard, without = streamed(showing_server, previews=True), streamed(showing_server)
    (made,) = heard[-1].data["data"]
    previews = [event.data for event in heard if event.type == "video.preview"]
    steps = [preview["step"] for preview in previews]
    assert steps == sorted(set(steps))
    assert {preview["steps"] for preview in previews} == {STEPS}
    assert (steps[0], len(steps) >= 3) == (1, True)
    middle = Video(made["b64_json"]).frames[1:5]  # which the second of three latent frames stands for
    final = shrunk(middle.mean(axis=0))
    errors = [np.abs(shrunk(image_of(preview["b64_json"])) - final).mean() for preview in previews]
    assert errors[-1] < errors[0] / 2
    assert errors[-1] < 25
    assert without[-1].data["data"][0]["b64_json"] == made["b64_json"]
    assert "video.preview" not in [event.type for event in without]


def test_openais_sdk_sees_images_come_into_being(families_server: RunningServer) -> None:
    client = openai.OpenAI(base_url=f"{families_server.url}/v1", api_key="none", max_retries=0)
    for count, steps, expected in ((3, 8, 3), (1, 8, 1), (3, 2, 2), (0, 8, 0)):
        stream = client.images.generate(
            prompt="a red circle",
            model="tiny-qwen-image",
            stream=True,
            partial_images=count,
            output_format="webp",
            extra_body={"size": "64x48", "num_inference_steps": steps, "seed": 1},
        )
        *partial, last = list(stream)
        assert last.type == "image_generation.completed"
        assert [event.type for event in partial] == ["image_generation.partial_image"] * expected
        assert [getattr(event, "partial_image_index", None) for event in partial] == list(range(expected))
        for event in partial:
            assert image_of(str(event.b64_json)).shape == (48, 64, 3)
