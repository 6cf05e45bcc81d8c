"""Requests as clients send them whose packages are too large to install: SGLang's and vLLM-Omni's benchmarks, ComfyUI's
nodes, Open WebUI and LibreChat.

Each has the fields, the encoding and the way to the result of its client; what it looks for in answers is looked for.
"""

import asyncio
import base64
import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image

from frontend.settings import Settings
from tests.frontend.conftest import NOWHERE
from tests.frontend.fake_generator import FakeGenerator, of_all_kinds
from tests.frontend.test_videos import image_file
from tests.waiting import SECONDS

VIDEOS, IMAGES = "/v1/videos", "/v1/images/generations"


@pytest.fixture
def generator() -> FakeGenerator:
    return of_all_kinds()


@pytest.fixture(params=["wait", "async"])
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings.model_validate({"triton_metrics_url": NOWHERE, "videos_respond": request.param})


async def polled(client: httpx.AsyncClient, created: httpx.Response) -> dict[str, Any]:
    """The video, as a client asks for it until it has ended."""
    assert created.status_code == 200, created.text
    video: dict[str, Any] = created.json()
    async with asyncio.timeout(SECONDS):
        while video["status"] not in ("completed", "failed"):
            await asyncio.sleep(0.01)
            video = (await client.get(f"{VIDEOS}/{video['id']}")).json()
    assert video["status"] == "completed"
    return video


def size_of(b64_json: str) -> tuple[int, int]:
    with Image.open(io.BytesIO(base64.b64decode(b64_json))) as image:
        return image.size


@pytest.mark.parametrize("extra", [{}, {"seed": 1, "num_inference_steps": 2}])
async def test_sglangs_benchmark_makes_videos(client: httpx.AsyncClient, extra: dict[str, Any]) -> None:
    body = {"model": "toy-wan-t2v", "prompt": "x", "size": "32x16", "num_frames": 5, "fps": 8}
    video = await polled(client, await client.post(VIDEOS, json=body | extra))
    assert (video["size"], video["num_frames"], video["fps"]) == ("32x16", 5, 8.0)


async def test_sglangs_benchmark_makes_videos_from_images(client: httpx.AsyncClient) -> None:
    fields = {"model": "toy-wan-i2v", "prompt": "x", "size": "32x16", "num_frames": "5", "fps": "8"}
    fields["extra_body"] = json.dumps({"num_inference_steps": 2})
    file = ("a.jpg", image_file(format_name="JPEG"), "application/octet-stream")
    video = await polled(client, await client.post(VIDEOS, data=fields, files={"input_reference": file}))
    assert (video["num_frames"], video["params"]["num_inference_steps"]) == (5, 2)


async def test_sglangs_and_vllm_omnis_benchmarks_make_images(client: httpx.AsyncClient) -> None:
    body = {"model": "toy-qwen-image", "prompt": "x", "n": 1, "response_format": "b64_json", "size": "32x16"}
    for extra in ({}, {"seed": 1, "num_inference_steps": 2, "true_cfg_scale": 4.0, "negative_prompt": "y"}):
        answer = (await client.post(IMAGES, json=body | extra, headers={"Authorization": "Bearer EMPTY"})).json()
        assert size_of(answer["data"][0]["b64_json"]) == (32, 16)
        assert answer["warnings"] == []


@pytest.mark.parametrize("with_image", [False, True])
async def test_vllm_omnis_benchmark_makes_videos(client: httpx.AsyncClient, with_image: bool) -> None:
    """Without a file its form is URL-encoded."""
    fields = {"prompt": "x", "height": "16", "width": "32", "num_frames": "5", "num_inference_steps": "2", "seed": "1"}
    files = {"input_reference": ("a.png", image_file(), "image/png")} if with_image else None
    video = await polled(client, await client.post(VIDEOS, data=fields | {"fps": "8"}, files=files))
    content = await client.get(f"{VIDEOS}/{video['id']}/content")
    assert content.content[4:8] == b"ftyp"
    assert (video["size"], video["num_frames"]) == ("32x16", 5)
    assert (await client.delete(f"{VIDEOS}/{video['id']}")).status_code == 200


async def test_vllm_omnis_comfyui_nodes_make_images(client: httpx.AsyncClient) -> None:
    assert "toy-qwen-image" in [model["id"] for model in (await client.get("/v1/models")).json()["data"]]
    body = {"model": "toy-qwen-image", "prompt": "x", "size": "32x16", "response_format": "b64_json"}
    body |= {"negative_prompt": "y", "n": 2, "num_inference_steps": 2, "true_cfg_scale": 4.0, "vae_use_slicing": False}  # type: ignore[dict-item]
    answer = await client.post(IMAGES, json=body)
    assert [size_of(image["b64_json"]) for image in answer.json()["data"]] == [(32, 16)] * 2


async def test_open_webui_makes_images(client: httpx.AsyncClient) -> None:
    """It fetches the URL where there is one."""
    body = {"model": "toy-qwen-image", "prompt": "x", "n": 1, "size": "32x16", "response_format": "b64_json"}
    (image,) = (await client.post(IMAGES, json=body)).json()["data"]
    fetched = await client.get(image["url"], headers={"Authorization": "Bearer none"})
    assert fetched.headers["Content-Type"] == "image/png"
    assert fetched.content == base64.b64decode(image["b64_json"])


async def test_librechats_image_tool_makes_images(client: httpx.AsyncClient) -> None:
    body = {"model": "toy-qwen-image", "prompt": "x", "n": 1, "background": "auto", "output_format": "png"}
    answer = await client.post(IMAGES, json=body | {"quality": "auto", "size": "auto"})
    assert size_of(answer.json()["data"][0]["b64_json"]) == (64, 48)
