"""What files say of how they were made, and that it makes them again."""

import base64
import io
import json
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import av
import httpx
import pytest
from PIL import Image

from tests.frontend.fake_generator import FakeGenerator, of_all_kinds
from tests.frontend.test_videos import image_file

VIDEOS, IMAGES = "/v1/videos/generations", "/v1/images/generations"
SMALL = {"size": "32x16", "num_inference_steps": 2}
HOSTILE = [
    'a "fox"\n\r\tjumps\\n {"x": 1}',
    "nul \0 and \x7f, \x1b[31mred",
    "\N{FOX FACE}\N{ZERO WIDTH JOINER}\N{RIGHT-TO-LEFT OVERRIDE}\N{LINE SEPARATOR} Füchse 狐",
    "=;#\\ [CHAPTER] ;comment=x",
    "\N{FOX FACE}" * 8000,
    " surrounded by blanks ",
]


@pytest.fixture
def generator() -> FakeGenerator:
    return of_all_kinds("ink")


def comment_of(mp4: bytes) -> str:
    with av.open(io.BytesIO(mp4), "r") as container:
        return container.metadata["comment"]


def text_of(png: bytes) -> str:
    with Image.open(io.BytesIO(png)) as image:
        return str(image.text["tritonreel"])  # type: ignore[attr-defined]


async def made(client: httpx.AsyncClient, path: str, **body: Any) -> list[bytes]:
    """The files of a request."""
    response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    assert response.json()["warnings"] == []
    return [base64.b64decode(entry["b64_json"]) for entry in response.json()["data"]]


def again(text: str, task: str) -> dict[str, Any]:
    """The request that the parameters are."""
    parameters: dict[str, Any] = json.loads(text)
    assert (parameters.pop("tritonreel"), parameters.pop("task")) == (version("tritonreel"), task)
    return parameters


async def test_a_video_says_all_that_it_was_made_with(client: httpx.AsyncClient) -> None:
    lora = [{"name": "ink", "scale": 0.5}]
    (mp4,) = await made(client, VIDEOS, prompt="a fox", seed=2**63 - 1, fps=23.976, lora=lora, flow_shift=4.5, **SMALL)
    text = comment_of(mp4)
    assert text.isprintable()
    assert ": " not in text
    parameters = json.loads(text)
    assert list(parameters)[:9] == [
        *("tritonreel", "task", "model", "prompt", "negative_prompt", "width", "height", "num_frames", "fps")
    ]
    assert (
        parameters.items()
        >= {
            "tritonreel": version("tritonreel"),
            "task": "text-to-video",
            "model": "toy-wan-t2v",
            "prompt": "a fox",
            "width": 32,
            "height": 16,
            "num_frames": 9,
            "fps": 23.976,
            "num_inference_steps": 2,
            "flow_shift": 4.5,
            "solver": "unipc",
            "guidance_scale": 4.0,
            "seed": 2**63 - 1,
        }.items()
    )
    assert [(one["name"], one["scale"]) for one in parameters["lora"]] == [("ink", 0.5)]
    assert await made(client, VIDEOS, **again(text, "text-to-video")) == [mp4]
    assert mp4.index(b"moov") < mp4.index(b"mdat")


@pytest.mark.parametrize("prompt", HOSTILE, ids=range(len(HOSTILE)))
async def test_any_prompt_comes_back_as_it_was_and_makes_the_same_file(client: httpx.AsyncClient, prompt: str) -> None:
    body: dict[str, Any] = {"prompt": prompt, "negative_prompt": prompt[::-1], **SMALL}
    (mp4,) = await made(client, VIDEOS, **body)
    request = again(comment_of(mp4), "text-to-video")
    assert (request["prompt"], request["negative_prompt"]) == (prompt, prompt[::-1])
    assert await made(client, VIDEOS, **request) == [mp4]
    (png,) = await made(client, IMAGES, **body)
    request = again(text_of(png), "text-to-image")
    assert (request["prompt"], request["negative_prompt"]) == (prompt, prompt[::-1])
    assert await made(client, IMAGES, **request) == [png]


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="needs ffprobe")
async def test_ffprobe_reads_it_too(client: httpx.AsyncClient, tmp_path: Path) -> None:
    (mp4,) = await made(client, VIDEOS, prompt=HOSTILE[0], **SMALL)
    (tmp_path / "video.mp4").write_bytes(mp4)
    command = ["ffprobe", "-v", "error", "-show_entries", "format_tags", "-of", "json", str(tmp_path / "video.mp4")]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert json.loads(told["format"]["tags"]["comment"])["prompt"] == HOSTILE[0]


@pytest.mark.parametrize(("path", "read"), [(VIDEOS, comment_of), (IMAGES, text_of)])
async def test_each_of_several_has_its_own_seed(client: httpx.AsyncClient, path: str, read: Any) -> None:
    files = await made(client, path, prompt="x", n=3, seed=5, **SMALL)
    requests = [json.loads(read(file)) for file in files]
    assert [request["seed"] for request in requests] == [5, 6, 7]
    assert not {"n", "image", "size"} & requests[0].keys()


async def test_a_video_from_an_image_and_what_follows_it_say_so(client: httpx.AsyncClient) -> None:
    form: dict[str, Any] = {"prompt": (None, "x"), "input_reference": ("a.png", image_file(), "image/png")}
    video = (await client.post("/v1/videos", files=form)).json()
    file = base64.b64decode(video["data"][0]["b64_json"])
    request = again(comment_of(file), "image-to-video")
    assert len(comment_of(file)) < 1000  # the image is not in it
    parts = {name: (None, str(value)) for name, value in request.items() if name not in ("lora", "prompt")}
    repeated = (await client.post("/v1/videos", files=form | parts)).json()
    assert base64.b64decode(repeated["data"][0]["b64_json"]) == file
    longer = {"prompt": "on", "seconds": 1, "video": {"id": video["id"]}}
    extension = (await client.post("/v1/videos/extensions", json=longer)).json()
    told = json.loads(comment_of(base64.b64decode(extension["data"][0]["b64_json"])))
    assert (told["task"], told["prompt"], told["model"]) == ("video-extension", "on", "toy-wan-i2v")


@pytest.mark.parametrize("output_format", ["jpeg", "webp"])
async def test_the_other_formats_hold_pixels_alone(client: httpx.AsyncClient, output_format: str) -> None:
    (file,) = await made(client, IMAGES, prompt="a unique fox", output_format=output_format, **SMALL)
    assert b"unique" not in file
    assert b"tritonreel" not in file
