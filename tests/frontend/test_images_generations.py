"""The response, what happens when a job does not end well, and the official client library."""

import asyncio
import base64
import io
import time
import warnings
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from fastapi import FastAPI
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from frontend.app import create_app
from frontend.errors import EngineFailed, EngineUnavailable
from frontend.schemas.images_generations import ImageGenerationRequest
from protocol.errors import DeadlineExceeded, InvalidRequest, ModelFailed
from tests.frontend.conftest import Serve, client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_image_request import URL, post
from tests.frontend.test_metrics import samples
from tests.frontend.test_video_request import error_of
from tests.model_cards import text_to_image_card


@pytest.fixture
def generator() -> FakeGenerator:
    return FakeGenerator([text_to_image_card()])


def open_image(entry: dict[str, Any]) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(entry["b64_json"])))


async def test_the_response_has_the_image_and_how_it_was_really_made(client: httpx.AsyncClient) -> None:
    body = (await post(client, size="32x16", seed=7)).json()
    (entry,) = body.pop("data")
    assert abs(body.pop("created") - time.time()) < 60
    assert body.pop("timings").keys() == entry["timings"].keys()
    assert body == {
        "model": "toy-qwen-image",
        "size": "32x16",
        "output_format": "png",
        "background": "opaque",
        "params": {
            "num_inference_steps": 3,
            "guidance_rescale": 0.0,
            "guidance_scale": None,
            "true_cfg_scale": 4.0,
            "flow_shift": None,
            "solver": "euler",
            "lora": [],
        },
        "warnings": [],
    }
    assert entry["seed"] == 7
    image = open_image(entry)
    assert (image.format, image.size, image.mode) == ("PNG", (32, 16), "RGB")
    assert image.getcolors() == [(32 * 16, (0, 0, 0))]  # the fake generator's first frame


@pytest.mark.parametrize("output_format", ["png", "jpeg", "webp"])
async def test_each_format(client: httpx.AsyncClient, output_format: str) -> None:
    body = (await post(client, output_format=output_format)).json()
    assert body["output_format"] == output_format
    assert open_image(body["data"][0]).format == output_format.upper()


async def test_compression_is_the_quality_of_the_lossy_formats(client: httpx.AsyncClient) -> None:
    best, least = [
        open_image((await post(client, output_format="jpeg", output_compression=quality)).json()["data"][0])
        for quality in (100, 0)
    ]
    assert isinstance(best, JpegImageFile)
    assert isinstance(least, JpegImageFile)
    assert max(best.quantization[0]) == 1
    assert min(least.quantization[0]) == 255


async def test_timings_are_of_each_image_and_of_the_request(client: httpx.AsyncClient) -> None:
    body = (await post(client, n=2)).json()
    for entry in body["data"]:
        assert entry["timings"].pop("encode_seconds") > 0
        assert entry["timings"] == {
            "queue_seconds": 0.1,
            "text_seconds": 0.2,
            "image_seconds": 0.0,
            "denoise_seconds": 0.3,
            "decode_seconds": 0.4,
            "total_seconds": 1.0,
        }
    assert body["timings"]["denoise_seconds"] == pytest.approx(0.6)
    assert body["timings"]["total_seconds"] > 0


@pytest.mark.parametrize("n", [1, 3])
async def test_triton_gets_the_request_id(client: httpx.AsyncClient, generator: FakeGenerator, n: int) -> None:
    response = await client.post(URL, json={"prompt": "x", "n": n}, headers={"X-Request-Id": "abc"})
    assert response.headers["X-Request-Id"] == "abc"
    assert sorted(generator.jobs) == (["abc"] if n == 1 else ["abc-0", "abc-1", "abc-2"])


async def test_images_of_one_request_run_at_the_same_time(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    generator.step_gate.clear()
    request = asyncio.create_task(post(client, n=4))
    async with asyncio.timeout(60):
        while len(generator.jobs) < 4:
            await asyncio.sleep(0.01)
    generator.step_gate.set()
    assert len((await request).json()["data"]) == 4


async def test_images_are_counted(client: httpx.AsyncClient) -> None:
    await post(client, n=3)
    found = await samples(client)
    assert (found["tritonreel_images_total"], found["tritonreel_videos_total"]) == (3, 0)
    assert found["tritonreel_jobs_in_flight"] == 0


# Jobs that do not end well


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (InvalidRequest("has another rank", "lora"), 400, "unsupported_value"),
        (EngineUnavailable("Triton is away"), 503, "service_unavailable"),
        (ModelFailed("qwen_image_vae died"), 503, "model_failed"),
        (DeadlineExceeded("not done in 5 s"), 504, "deadline_exceeded"),
        (EngineFailed("secret detail"), 500, "internal_error"),
    ],
    ids=lambda value: str(value)[:30],
)
async def test_each_way_to_fail_has_its_status(
    client: httpx.AsyncClient, generator: FakeGenerator, error: Exception, status: int, code: str
) -> None:
    generator.error_for = lambda params: error
    response = await post(client)
    assert (response.status_code, error_of(response)["code"]) == (status, code)
    assert "secret" not in response.text


@pytest.mark.parametrize("lost", [-1, 1])
async def test_anything_but_one_frame_is_not_handed_out(
    client: httpx.AsyncClient, generator: FakeGenerator, lost: int
) -> None:
    generator.drop_frames = lost
    assert (await post(client)).status_code == 500


async def test_when_one_image_fails_the_others_are_cancelled(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    generator.error_for = lambda params: ModelFailed("the second died") if params.seed == 11 else None
    response = await client.post(URL, json={"prompt": "x", "n": 3, "seed": 10}, headers={"X-Request-Id": "r"})
    assert (response.status_code, error_of(response)["message"]) == (503, "the second died")
    assert sorted(generator.cancelled) == ["r-0", "r-2"]


async def test_when_the_client_leaves_its_jobs_are_cancelled(
    serve: Serve, app: FastAPI, generator: FakeGenerator
) -> None:
    generator.step_gate.clear()
    with serve(app) as url:
        async with httpx.AsyncClient() as client:
            request = asyncio.create_task(client.post(url + URL, json={"prompt": "x", "n": 3}))
            async with asyncio.timeout(60):
                while len(generator.jobs) < 3:
                    await asyncio.sleep(0.01)
                request.cancel()
                while len(generator.cancelled) < 3:
                    await asyncio.sleep(0.01)
    assert sorted(generator.cancelled) == sorted(generator.jobs)


async def test_without_a_model_for_images_it_is_400_with_what_is_served() -> None:
    async with client_of(create_app(generator=FakeGenerator())) as client:
        response = await post(client)
    assert (response.status_code, error_of(response)["param"]) == (400, "model")
    assert "toy-wan-t2v (text-to-video)" in error_of(response)["message"]


async def test_an_unknown_model_is_404_naming_those_served(client: httpx.AsyncClient) -> None:
    response = await post(client, model="dall-e-3")
    assert (response.status_code, error_of(response)["code"]) == (404, "model_not_found")
    assert "toy-qwen-image" in error_of(response)["message"]


async def test_another_content_type_is_415(client: httpx.AsyncClient) -> None:
    response = await client.post(URL, content=b'{"prompt": "x"}', headers={"Content-Type": "text/plain"})
    assert (response.status_code, error_of(response)["code"]) == (415, "unsupported_media_type")


# The documentation


def test_every_error_is_documented(app: FastAPI) -> None:
    documented = app.openapi()["paths"][URL]["post"]["responses"]
    errors = ["400", "401", "403", "404", "409", "413", "415", "421", "422", "429", "500", "503", "504", "507"]
    assert sorted(documented) == ["200", "202", *errors]
    for status, response in documented.items():
        schema = response["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
        assert schema == {"200": "ImageGenerationResponse", "202": "JobObject"}.get(status, "ErrorBody")


def test_every_request_field_says_what_it_is(app: FastAPI) -> None:
    properties = app.openapi()["components"]["schemas"]["ImageGenerationRequest"]["properties"]
    assert properties.keys() == ImageGenerationRequest.model_fields.keys()
    assert [name for name, schema in properties.items() if "description" not in schema] == []


def test_the_examples_are_valid(app: FastAPI) -> None:
    examples = app.openapi()["components"]["schemas"]["ImageGenerationRequest"]["examples"]
    requests = [ImageGenerationRequest.model_validate(example) for example in examples]
    assert [request.unknown_fields() for request in requests] == [[], []]


# The official client library


def test_openais_sdk_makes_images(serve: Serve, app: FastAPI, tmp_path: Path) -> None:
    with serve(app) as url, warnings.catch_warnings():
        warnings.simplefilter("error")
        client = openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        answer = client.images.generate(
            prompt="a red circle",
            model="toy-qwen-image",
            n=2,
            size="auto",
            background="opaque",
            moderation="low",
            output_format="webp",
            output_compression=80,
            quality="high",
            response_format="b64_json",
            style="vivid",
            user="me",
            extra_body={"seed": 3, "negative_prompt": "blurry", "true_cfg_scale": 2.0},
        )
        linked = client.images.generate(prompt="x", n=2, response_format="url")
        assert linked.data is not None
        contents = [httpx.get(entry.url or "") for entry in linked.data]
        # Strict: what the SDK was told to expect is what it got, though it takes anything.
        openai.types.ImagesResponse.model_validate(answer.model_dump(), strict=True)
    assert (answer.size, answer.output_format, answer.background) == ("64x48", "webp", "opaque")
    assert answer.data is not None
    assert [entry.model_extra["seed"] for entry in answer.data if entry.model_extra] == [3, 4]
    assert answer.model_extra is not None
    assert answer.model_extra["warnings"] == []
    file = tmp_path / "image.webp"
    file.write_bytes(base64.b64decode(answer.data[0].b64_json or ""))
    with Image.open(file) as image:
        assert image.size == (64, 48)
    assert [entry.b64_json for entry in linked.data] == [None, None]
    for content in contents:
        assert (content.status_code, content.headers["Content-Type"]) == (200, "image/png")
        with Image.open(io.BytesIO(content.content)) as image:
            assert image.size == (64, 48)
