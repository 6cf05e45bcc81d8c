"""`POST /v1/videos` as a form and as JSON, and what is kept of it."""

import base64
import io
import json
import time
from typing import Any

import av
import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image

from frontend.app import create_app
from frontend.errors import EngineUnavailable
from frontend.settings import Settings
from protocol.sampling import MAX_SEED
from tests.frontend.conftest import client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.media.image_files import IEND, png_chunk, png_header, png_of
from tests.frontend.test_video_request import error_of, only_job
from tests.model_cards import image_to_video_card, model_card, text_or_image_to_video_card

URL = "/v1/videos"
T2V, I2V, TI2V = "toy-wan-t2v", "toy-wan-i2v", "toy-wan-ti2v"


@pytest.fixture
def generator() -> FakeGenerator:
    """Serves a model of each kind."""
    return FakeGenerator([model_card(), image_to_video_card(), text_or_image_to_video_card()])


def image_file(width: int = 64, height: int = 48, format_name: str = "PNG") -> bytes:
    """Red on the left, blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format_name)
    return buffer.getvalue()


def data_uri(file: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"


async def post_form(client: httpx.AsyncClient, image: bytes | None = None, **fields: str) -> httpx.Response:
    """A form as curl sends it, whether there is a file in it or not."""
    parts: list[tuple[str, Any]] = [(name, (None, value)) for name, value in ({"prompt": "x"} | fields).items()]
    if image is not None:
        parts.append(("input_reference", ("photo.png", image, "image/png")))
    return await client.post(URL, files=parts)


async def post_json(client: httpx.AsyncClient, image: bytes | None = None, **fields: Any) -> httpx.Response:
    reference = {} if image is None else {"input_reference": {"image_url": data_uri(image)}}
    return await client.post(URL, json={"prompt": "x"} | reference | fields)


# The answer


@pytest.mark.parametrize("post", [post_form, post_json])
async def test_the_answer_is_openais_object_with_the_video_and_what_was_made(
    client: httpx.AsyncClient, post: Any
) -> None:
    body = (await post(client, size="32x16", seed="7" if post is post_form else 7)).json()
    (entry,) = body.pop("data")
    url = body.pop("url")
    assert body.pop("urls") == [url]
    assert entry.pop("url") == url
    assert url.startswith(f"http://127.0.0.1:8000/v1/videos/{body['id']}/content?expires=")
    times = [body.pop(name) for name in ("created_at", "created", "completed_at", "expires_at")]
    assert times == sorted(times)
    assert abs(times[0] - time.time()) < 5
    assert times[3] == times[2] + 24 * 3600
    assert body.pop("id").startswith("video_")
    assert body.pop("timings").keys() == entry["timings"].keys()
    assert body == {
        "object": "video",
        "status": "completed",
        "progress": 100,
        "model": T2V,
        "prompt": "x",
        "size": "32x16",
        "seconds": "1.125",
        "num_frames": 9,
        "fps": 8.0,
        "params": {
            "num_inference_steps": 3,
            "guidance_rescale": 0.0,
            "guidance_scale": 4.0,
            "guidance_scale_2": 3.0,
            "flow_shift": 12.0,
            "boundary_ratio": 0.875,
            "solver": "unipc",
            "lora": [],
        },
        "warnings": [],
        "error": None,
        "remixed_from_video_id": None,
    }
    assert entry["seed"] == 7
    with av.open(io.BytesIO(base64.b64decode(entry["b64_json"])), "r") as container:
        assert len(list(container.decode(video=0))) == 9


async def test_n_videos_from_one_image(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    body = (await post_form(client, image_file(), n="3", seed="5")).json()
    assert [entry["seed"] for entry in body["data"]] == [5, 6, 7]
    images = [job.image for job in generator.jobs.values()]
    assert len(images) == 3
    assert all(image is not None and image.shape == (48, 64, 3) for image in images)


async def test_errors_of_the_generator_have_their_status(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    generator.error_for = lambda params: EngineUnavailable("Triton is away")
    response = await post_form(client)
    assert (response.status_code, error_of(response)["code"]) == (503, "service_unavailable")
    assert "Retry-After" in response.headers


# Forms


async def test_the_text_of_a_form_is_read_as_what_its_field_is(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    response = await post_form(
        client,
        prompt="7",
        negative_prompt="null",
        model=T2V,
        n="1",
        width="32",
        height="16",
        num_frames="5",
        fps="23.976",
        num_inference_steps="2",
        guidance_rescale="0.25",
        guidance_scale="1.5",
        guidance_scale_2="2",
        flow_shift="3e0",
        boundary_ratio="0.9",
        solver="euler",
        seed=str(MAX_SEED),
        lora='[{"name": "5", "scale": 0.5}, {"high": "a"}]',
        video_params='{"fps": 5}',
        extra_body='{"seed": 5}',
        response_format="b64_json",
        stream="false",
    )
    assert response.status_code == 200, response.text
    assert (response.json()["fps"], response.json()["warnings"]) == (23.976, [])
    assert only_job(generator).model_dump(mode="json", exclude_none=True) == {
        "prompt": "7",
        "negative_prompt": "null",
        "width": 32,
        "height": 16,
        "num_frames": 5,
        "num_inference_steps": 2,
        "guidance_rescale": 0.25,
        "guidance_scale": 1.5,
        "guidance_scale_2": 2.0,
        "seed": MAX_SEED,
        "flow_shift": 3.0,
        "boundary_ratio": 0.9,
        "solver": "euler",
        "lora": [{"name": "5", "scale": 0.5}, {"high": "a", "scale": 1.0}],
    }


async def test_a_form_can_spell_objects_out(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    fields = {"lora[name]": "5", "lora[scale]": "0.5", "extra_body[solver]": "euler", "extra_body[seed]": "6"}
    response = await post_form(client, None, **fields, **{"video_params[num_frames]": "5"})
    assert response.status_code == 200, response.text
    job = only_job(generator)
    assert [(lora.name, lora.scale) for lora in job.lora] == [("5", 0.5)]
    assert (job.solver, job.seed, job.num_frames) == ("euler", 6, 5)


async def test_a_form_without_files_may_be_urlencoded(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    response = await client.post(
        URL, data={"prompt": "ein Kreis, größer & röter", "num_frames": "5", "lora[name]": "5"}
    )
    assert response.status_code == 200, response.text
    job = only_job(generator)
    assert (job.prompt, job.num_frames, job.lora[0].name) == ("ein Kreis, größer & röter", 5, "5")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"prompt=%FF", "prompt: must be UTF-8"),
        (b"prompt=x&%FF=1", "The name of the field"),
        (b"&".join(b"x%d=1" % i for i in range(300)), "Too many fields"),
        (b"prompt=" + b"x" * 200_000, "prompt: must have at most 131,072 bytes of text"),
        (b"prompt=" + b"%41" * 1_000_000, "Too many percent-encoded bytes"),
        (b"&".join(b"x%d=" % i + b"%41" * 20_000 for i in range(20)), "Too many percent-encoded bytes"),
        (b"prompt=x&" + b"a" * 200_000 + b"=1", "Too much around the parts"),
        (b"prompt=x&_charset_=latin-1", "_charset_: The charset must be UTF-8"),
    ],
    ids=["text", "name", "fields", "bytes", "escapes", "escapes of many", "names", "charset"],
)
async def test_an_urlencoded_form_has_the_bounds_of_others(
    client: httpx.AsyncClient, body: bytes, message: str
) -> None:
    response = await client.post(URL, content=body, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_multipart")
    assert error_of(response)["message"].startswith(message)


async def test_an_urlencoded_form_of_another_charset_is_400(client: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/x-www-form-urlencoded; charset=latin-1"}
    response = await client.post(URL, content=b"prompt=x", headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_multipart")


async def test_an_image_may_be_urlencoded_as_a_data_uri(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    response = await client.post(URL, data={"prompt": "x", "input_reference[image_url]": data_uri(image_file())})
    assert response.status_code == 200, response.text
    assert only_job(generator).image is not None


async def test_what_nobody_filled_in_counts_as_absent(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    empty = ("model", "n", "seconds", "size", "seed", "lora", "lora[name]", "video_params", "extra_body[seed]")
    response = await post_form(client, b"", **dict.fromkeys(empty, ""))
    assert response.status_code == 200, response.text
    assert response.json()["warnings"] == []
    assert only_job(generator).image is None


@pytest.mark.parametrize("name", ["input_reference[]", "image", "image[]", "input_image"])
async def test_a_file_that_is_called_otherwise_is_used(
    client: httpx.AsyncClient, generator: FakeGenerator, name: str
) -> None:
    response = await client.post(URL, data={"prompt": "x"}, files=[(name, ("photo.png", image_file()))])
    assert response.status_code == 200, response.text
    assert only_job(generator).image is not None
    twice = [(one, ("photo.png", image_file())) for one in (name, "input_reference")]
    error = error_of(await client.post(URL, data={"prompt": "x"}, files=twice))
    assert "is given more than once" in error["message"]


async def test_a_file_that_nobody_knows_is_refused(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    response = await client.post(URL, data={"prompt": "x"}, files=[("mask", ("photo.png", image_file()))])
    assert (response.status_code, error_of(response)["param"]) == (422, "mask")
    assert generator.jobs == {}


async def test_seconds_may_be_text_as_openai_has_it(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    number, text = [(await post_json(client, seconds=seconds)).json() for seconds in (1.5, "1.5")]
    assert (text["seconds"], text["warnings"]) == (number["seconds"], [])
    assert text["num_frames"] == number["num_frames"] > 1
    for wrong in ("4s", "", "nan", "-1", "4\n"):
        assert error_of(await post_json(client, seconds=wrong))["param"] == "seconds"


WRONG = [
    ("prompt", "", 'prompt must have at least 1 characters, got ""'),
    ("n", "11", "n must be at most 10, got 11"),
    ("n", "1.5", "n must be an integer, got 1.5"),
    ("n", "five", 'n must be an integer, got "five"'),
    ("n", "true", "n must be an integer, got true"),
    ("seed", "1.0", "seed must be an integer, got 1.0"),
    ("seed", str(MAX_SEED + 1), f"seed must be at most {MAX_SEED}, got {MAX_SEED + 1}"),
    ("seed", "9" * 5000, "seed must be an integer"),
    ("seconds", "4s", 'seconds must be a number, got "4s"'),
    ("seconds", "0", "seconds must be greater than 0, got 0"),
    ("fps", "NaN", "fps must be a finite number, got NaN"),
    ("guidance_scale", "1e400", "guidance_scale must be a finite number, got Infinity"),
    ("size", "64", 'size must be "WIDTHxHEIGHT" in pixels, each from 1 to 16384, like "832x480", got "64"'),
    ("solver", "heun", "solver must be 'unipc' or 'euler', got \"heun\""),
    ("stream", "True", 'stream must be true or false, got "True"'),
    ("lora", "ink", 'lora must be an object, or an array of them, got "ink"'),
    ("lora", "[" * 100_000, "lora must be an object, or an array of them"),
    ("extra_body", "{", 'extra_body must be an object, got "{"'),
    ("prompt[a]", "x", "prompt must be a string"),
]


@pytest.mark.parametrize(("field", "value", "message"), WRONG, ids=[f"{name}={text[:9]}" for name, text, _ in WRONG])
async def test_a_form_has_the_bounds_and_the_messages_of_json(
    client: httpx.AsyncClient, generator: FakeGenerator, field: str, value: str, message: str
) -> None:
    prompt = [] if field.startswith("prompt") else [("prompt", (None, "x"))]
    response = await client.post(URL, files=[*prompt, (field, (None, value))])
    error = error_of(response)
    assert (response.status_code, error["message"]) == (422, message)
    assert error["param"] == field.partition("[")[0]
    assert generator.jobs == {}


@pytest.mark.parametrize(
    ("names", "param", "rule"),
    [
        (["seed", "seed"], "seed", "is given more than once"),
        (["lora", "lora[name]"], "lora[name]", "is given more than once"),
        (["lora[name]", "lora"], "lora", "is given more than once"),
        (["lora[][name]"], "lora", "must not be an array of parts"),
    ],
)
async def test_a_field_comes_once(client: httpx.AsyncClient, names: list[str], param: str, rule: str) -> None:
    response = await client.post(URL, files=[("prompt", (None, "x"))] + [(name, (None, "1")) for name in names])
    error = error_of(response)
    assert (response.status_code, error["param"]) == (422, param)
    assert error["message"].startswith(f"{param} {rule}")


async def test_a_file_is_no_value(client: httpx.AsyncClient) -> None:
    parts: list[tuple[str, tuple[str | None, bytes]]] = [("prompt", (None, b"x")), ("seed", ("seed.txt", b"5"))]
    assert error_of(await client.post(URL, files=parts))["message"].startswith("seed takes no file: send the image as")


FORMS = [
    (b"", "it ends before its closing boundary"),
    (b"prompt=x", "Invalid multipart data."),
    (b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx', "it ends before its closing boundary"),
    (b'--b\r\nContent-Disposition: form-data; name="prompt"\r\n\r\nx\r\n', "it ends before its closing boundary"),
    (b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--", 'header field "name" must be provided'),
    (b"--b\r\nX: " + b"x" * 9000 + b"\r\n\r\nx\r\n--b--", "Invalid multipart data."),
]


@pytest.mark.parametrize(("body", "message"), FORMS, ids=lambda value: repr(value[:20]))
async def test_what_is_not_a_form_is_400(client: httpx.AsyncClient, body: bytes, message: str) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await client.post(URL, content=body, headers=headers)
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_multipart", None)
    assert error["message"].startswith("The body is not a valid form: ")
    assert message in error["message"]


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary="])
async def test_a_form_without_boundary_is_400(client: httpx.AsyncClient, content_type: str) -> None:
    response = await client.post(URL, content=b"--x--", headers={"Content-Type": content_type})
    assert (response.status_code, error_of(response)["code"]) == (400, "invalid_multipart")


async def test_parts_are_counted(client: httpx.AsyncClient) -> None:
    many = await client.post(URL, files=[(f"x{i}", (None, "1")) for i in range(201)])
    files = await client.post(URL, files=[(f"x{i}", ("a", b"1")) for i in range(5)])
    for response in (many, files):
        assert (response.status_code, error_of(response)["code"]) == (400, "invalid_multipart")
        assert "Too many" in error_of(response)["message"]


@pytest.mark.parametrize("content_type", [None, "text/plain", "multipart/mixed"])
async def test_another_content_type_is_415(client: httpx.AsyncClient, content_type: str | None) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = await client.post(URL, content=b"prompt=x", headers=headers)
    assert (response.status_code, error_of(response)["code"]) == (415, "unsupported_media_type")
    message = "must be multipart/form-data, application/x-www-form-urlencoded or application/json, got"
    assert message in error_of(response)["message"]


# JSON


@pytest.mark.parametrize("body", [b"{", b'{"prompt": "\xff"}', b'{"a":' * 15_000, b'{"n": ' + b"9" * 5000 + b"}"])
async def test_what_is_not_json_is_400(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post(URL, content=body, headers={"Content-Type": "application/json"})
    error = error_of(response)
    assert (response.status_code, error["code"]) == (400, "invalid_json")
    assert error["message"].startswith("The body is not valid JSON: ")


@pytest.mark.parametrize("body", [b"", b"[]", b'"text"', b"5", b"null"])
async def test_json_that_is_no_object_is_422(client: httpx.AsyncClient, body: bytes) -> None:
    response = await client.post(URL, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert error_of(response)["message"].startswith("The body ")


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"n": "1"}, 422, 'n must be an integer, got "1"'),
        ({"lora": [{"nam": "ink"}]}, 422, "lora.0.nam is not a known field"),
        ({"seconds": "5 s"}, 422, 'seconds must be a number, got "5 s"'),
        ({"stream": True}, 400, "stream: is for /v1/videos/generations"),
        ({"response_format": "gif"}, 400, "response_format: must be b64_json or url"),
        ({"size": "24x16"}, 400, "size: must be a multiple of 16, got 24"),
        ({"extra_body": {"num_frames": 165}}, 400, "extra_body.num_frames: must be at most 161"),
        ({"model": "sora-2"}, 404, "model: there is no model 'sora-2'"),
    ],
)
async def test_a_wrong_field_is_named(
    client: httpx.AsyncClient, fields: dict[str, Any], status: int, message: str
) -> None:
    response = await post_json(client, **fields)
    assert response.status_code == status
    assert error_of(response)["message"].startswith(message)


# Unknown fields


async def test_unknown_fields_have_no_effect_and_are_named(client: httpx.AsyncClient) -> None:
    form = await client.post(URL, files=[("prompt", (None, "x")), ("sedd", (None, "5")), ("a[b]", (None, "5"))])
    reference = {"image_url": data_uri(image_file()), "detail": "high"}
    body = await post_json(client, sedd=5, input_reference=reference)
    assert form.json()["warnings"] == [f"unknown field {name!r} has no effect" for name in ("sedd", "a")]
    assert body.json()["warnings"] == [
        f"unknown field {name!r} has no effect" for name in ("sedd", "input_reference.detail")
    ]


async def test_the_server_can_refuse_unknown_fields(generator: FakeGenerator) -> None:
    async with client_of(create_app(Settings(unknown_fields="refuse"), generator)) as client:
        response = await post_form(client, sedd="5")
    assert (response.status_code, error_of(response)["param"]) == (422, "sedd")


# Images


@pytest.mark.parametrize("post", [post_form, post_json])
async def test_the_video_starts_from_the_image(client: httpx.AsyncClient, generator: FakeGenerator, post: Any) -> None:
    body = (await post(client, image_file(64, 48))).json()
    assert (body["model"], body["size"], body["warnings"]) == (I2V, "64x48", [])
    image = only_job(generator).image
    assert image.shape == (48, 64, 3)
    assert image[0, 0].tolist() == [255, 0, 0]
    assert image[-1, -1].tolist() == [0, 0, 255]


async def test_an_image_can_come_in_a_form_as_a_data_uri(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    uri = data_uri(image_file())
    by_name = await post_form(client, None, **{"input_reference[image_url]": uri})
    as_json = await post_form(client, input_reference=json.dumps({"image_url": uri}))
    assert [by_name.status_code, as_json.status_code] == [200, 200]
    assert all(job.image is not None and job.image[0, 0, 0] == 255 for job in generator.jobs.values())


async def test_neither_its_name_nor_its_declared_type_say_what_a_file_is(client: httpx.AsyncClient) -> None:
    parts: list[tuple[str, Any]] = [("prompt", (None, "x"))]
    file = ("../../notes.txt", image_file(format_name="WEBP"), "text/plain")
    assert (await client.post(URL, files=[*parts, ("input_reference", file)])).status_code == 200


@pytest.mark.parametrize(
    ("fields", "size", "cut"),
    [
        ({}, "96x32", 0),
        ({"size": "64x32"}, "64x32", 33),
        ({"size": "96x48"}, "96x48", 33),
        ({"width": "48"}, "48x16", 0),
        ({"height": "64"}, "192x64", 0),
        ({"width": "64", "size": "16x64"}, "64x64", 67),
        ({"extra_body": '{"width": 48}'}, "48x16", 0),
        ({"size": "144x48"}, "144x48", 0),
    ],
)
async def test_the_video_has_the_size_that_is_asked_or_the_images_aspect(
    client: httpx.AsyncClient, generator: FakeGenerator, fields: dict[str, str], size: str, cut: int
) -> None:
    body = (await post_form(client, image_file(300, 100), **fields)).json()
    assert body["size"] == size
    assert "{1}x{0}".format(*only_job(generator).image.shape) == size
    warning = f"input_reference: {cut}% of the image was cut off to fill {size}"
    assert body["warnings"] == ([warning] if cut else [])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"size": "24x16"}, "size"),
        ({"width": "24"}, "width"),
        ({"size": "16384x16"}, "size"),
        ({"height": "8"}, "height"),
    ],
)
async def test_a_size_that_the_model_cannot_make_is_400(
    client: httpx.AsyncClient, fields: dict[str, str], param: str
) -> None:
    response = await post_form(client, image_file(), **fields)
    assert (response.status_code, error_of(response)["param"]) == (400, param)


BAD = [
    (b"hello", "must be a PNG, JPEG or WebP image"),
    (image_file(format_name="GIF"), "must be a PNG, JPEG or WebP image"),
    (image_file()[:90], "the image is truncated or broken"),
    (b"\0", "must be a PNG, JPEG or WebP image"),
    (image_file(1001, 1000), "must have at most 1,000,000 pixels"),
    (png_of(png_header(), png_chunk(b"IDAT", bytes(range(84))), IEND), "the image is truncated or broken"),
    (png_of(png_header(), png_chunk(b"tEXt") * 20_000), "the image has more than 16,384 chunks, save it again"),
]


@pytest.mark.parametrize(("image", "message"), BAD, ids=range(len(BAD)))
@pytest.mark.parametrize("post", [post_form, post_json])
async def test_a_bad_image_is_400(generator: FakeGenerator, post: Any, image: bytes, message: str) -> None:
    async with client_of(create_app(Settings(max_image_pixels=1_000_000), generator)) as client:
        response = await post(client, image)
    error = error_of(response)
    assert (response.status_code, error["code"], error["param"]) == (400, "invalid_image", "input_reference")
    assert error["message"] == f"input_reference: {message}"
    assert generator.jobs == {}


async def test_a_data_uri_of_nothing_is_400(client: httpx.AsyncClient) -> None:
    assert error_of(await post_json(client, b""))["message"] == "input_reference: the file is empty"


@pytest.mark.parametrize(
    ("reference", "status", "message"),
    [
        (
            {"image_url": "http://127.0.0.1/a.png"},
            400,
            "input_reference.image_url: must be a URL that begins",
        ),
        ({"image_url": "file:///etc/passwd"}, 400, "input_reference.image_url: must be a URL that begins"),
        ({"image_url": "data:image/png;base64,?"}, 400, "input_reference.image_url: the data: URI is not valid base64"),
        ({"file_id": "file-1"}, 400, "input_reference: file_id is not supported"),
        ({}, 400, "input_reference: has no image_url"),
        ({"image_url": 5}, 422, "input_reference.image_url must be a string"),
        ("photo.png", 422, "input_reference must be a file (curl: -F input_reference=@FILE)"),
        (5, 422, "input_reference must be an object"),
    ],
)
async def test_another_reference_is_refused(
    client: httpx.AsyncClient, reference: Any, status: int, message: str
) -> None:
    response = await post_json(client, input_reference=reference)
    assert response.status_code == status
    assert error_of(response)["message"].startswith(message)


async def test_a_file_and_a_data_uri_are_one_too_many(client: httpx.AsyncClient) -> None:
    response = await post_form(client, image_file(), **{"input_reference[image_url]": data_uri(image_file())})
    assert response.status_code == 422
    assert "input_reference is given more than once" in error_of(response)["message"]


# Models


@pytest.mark.parametrize(
    ("model", "image", "used"),
    [(None, False, T2V), (None, True, I2V), (TI2V, False, TI2V), (TI2V, True, TI2V), (T2V, False, T2V)],
)
async def test_the_model_is_one_that_can(
    client: httpx.AsyncClient, generator: FakeGenerator, model: str | None, image: bool, used: str
) -> None:
    body = (await post_form(client, image_file() if image else None, **({"model": model} if model else {}))).json()
    assert body["model"] == used
    assert (only_job(generator).image is not None) == image


@pytest.mark.parametrize(
    ("model", "image", "message"),
    [
        (T2V, True, f"{T2V} does text-to-video; for image-to-video use {I2V} or {TI2V}"),
        (I2V, False, f"{I2V} does image-to-video; for text-to-video use {T2V} or {TI2V}"),
    ],
)
async def test_a_model_that_cannot_is_400_naming_those_that_can(
    client: httpx.AsyncClient, generator: FakeGenerator, model: str, image: bool, message: str
) -> None:
    response = await post_form(client, image_file() if image else None, model=model)
    error = error_of(response)
    assert (response.status_code, error["param"]) == (400, "input_reference")
    assert error["message"] == f"input_reference: {message}"
    assert generator.jobs == {}


@pytest.mark.parametrize(("card", "image"), [(model_card(), True), (image_to_video_card(), False)])
async def test_where_no_model_can_it_is_400(card: Any, image: bool) -> None:
    generator = FakeGenerator([card])
    async with client_of(create_app(generator=generator)) as client:
        unnamed = await post_form(client, image_file() if image else None)
        named = await post_form(client, image_file() if image else None, model=card.id)
    for response in (unnamed, named):
        assert (response.status_code, error_of(response)["param"]) == (400, "input_reference")
        assert card.id in error_of(response)["message"]


async def test_a_model_that_needs_an_image_is_not_for_the_route_of_texts(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/videos/generations", json={"prompt": "x", "model": I2V})
    error = error_of(response)
    assert (response.status_code, error["param"]) == (400, "model")
    assert "POST /v1/videos" in error["message"]


# What is kept


async def test_a_finished_video_can_be_fetched(client: httpx.AsyncClient) -> None:
    made = (await post_form(client, n="2")).json()
    video = await client.get(f"{URL}/{made['id']}")
    content = await client.get(f"{URL}/{made['id']}/content", params={"variant": "video"})
    assert video.json() == {name: value for name, value in made.items() if name not in ("data", "created")}
    assert content.headers["Content-Type"] == "video/mp4"
    assert content.content == base64.b64decode(made["data"][0]["b64_json"])


async def test_a_finished_video_can_be_fetched_in_parts(client: httpx.AsyncClient) -> None:
    made = (await post_form(client)).json()
    url, whole = f"{URL}/{made['id']}/content", base64.b64decode(made["data"][0]["b64_json"])

    async def get(**headers: str) -> httpx.Response:
        return await client.get(url, headers={name.replace("_", "-"): value for name, value in headers.items()})

    etag = (await get()).headers["ETag"]
    for asked, part in (
        ("0-1", whole[:2]),
        ("5-", whole[5:]),
        ("-7", whole[-7:]),
        ("3-999999", whole[3:]),
        ("0-" + "9" * 30, whole),
    ):
        answer = await get(Range=f"bytes={asked}", If_Range=etag)
        assert (answer.status_code, answer.content) == (206, part)
        assert answer.headers["Accept-Ranges"] == "bytes"
        start = whole.index(part)
        assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(whole)}"
    for asked in ("bytes=0-1,3-4", "bytes=2-1", "bytes=x", "items=0-1"):
        assert (await get(Range=asked)).content == whole
    assert (await get(Range="bytes=0-1", If_Range='"another"')).content == whole
    assert (await get(If_None_Match=etag)).status_code == 304
    for asked in (f"{len(whole)}-", "-0", "9" * 30 + "-"):
        answer = await get(Range=f"bytes={asked}")
        assert (answer.status_code, answer.headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
        assert error_of(answer)["code"] == "range_not_satisfiable"


async def test_head_is_get_without_content(client: httpx.AsyncClient) -> None:
    made = (await post_form(client)).json()
    for url in (f"{URL}/{made['id']}/content", f"{URL}/{made['id']}", "/v1/models", "/health/live"):
        head, whole = await client.head(url), await client.get(url)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["Content-Length"] == whole.headers["Content-Length"]
    assert (await client.head(URL)).status_code == 200
    assert (await client.head("/v1/videos/generations/x")).status_code == 404
    assert (await client.head(f"{URL}/x/remix")).status_code == 405
    assert (await client.head("/nothing")).status_code == 404


@pytest.mark.parametrize("path", ["video_nothing", "video_nothing/content", "generations"])
async def test_another_video_is_404(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(f"{URL}/{path}")
    assert (response.status_code, error_of(response)["code"]) == (404, "video_not_found")


@pytest.mark.parametrize("variant", ["mp4", "Video", ""])
async def test_another_variant_is_400(client: httpx.AsyncClient, variant: str) -> None:
    made = (await post_form(client)).json()
    response = await client.get(f"{URL}/{made['id']}/content", params={"variant": variant})
    assert (response.status_code, error_of(response)["param"]) == (400, "variant")


# Sizes of bodies


async def test_a_body_with_an_image_may_be_larger_than_others(app: FastAPI, settings: Settings) -> None:
    padding = "x" * settings.max_body_bytes
    async with client_of(app) as client:
        assert (await post_form(client, other=padding)).status_code == 200
        assert (await post_json(client, other=padding)).status_code == 200
        other = await client.post("/v1/videos/generations", json={"prompt": "x", "other": padding})
    assert other.status_code == 413


@pytest.mark.parametrize("post", [post_form, post_json])
async def test_a_body_that_is_too_large_is_413(generator: FakeGenerator, post: Any) -> None:
    async with client_of(create_app(Settings(max_upload_bytes=5000), generator)) as client:
        response = await post(client, b"x" * 5000)
    assert (response.status_code, error_of(response)["code"]) == (413, "payload_too_large")
    assert "5000 bytes" in error_of(response)["message"]
