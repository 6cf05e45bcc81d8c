"""The request table: what each field takes, just inside and just outside of its bounds."""

import json
from typing import Any

import httpx
import pytest

from frontend.app import create_app
from frontend.settings import Settings
from protocol.sampling import MAX_SEED
from tests.frontend.conftest import client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.frontend.test_video_request import error_of, only_job
from tests.model_cards import model_card, text_to_image_card

URL = "/v1/images/generations"
PROMPT = {"prompt": "a red circle"}


@pytest.fixture
def generator() -> FakeGenerator:
    """The image model is not the first one."""
    return FakeGenerator([model_card(), text_to_image_card()])


async def post(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    """As httpx sends JSON, but with NaN, infinity and numbers of any length."""
    return await client.post(URL, content=json.dumps(PROMPT | fields), headers={"Content-Type": "application/json"})


INSIDE = [
    ("prompt", "x"),
    ("prompt", "x" * 8000),
    ("prompt", "  ein Fuchs läuft 🦊\n\u0000 "),
    ("model", "toy-qwen-image"),
    ("n", 1),
    ("n", 10),
    ("size", "auto"),
    ("size", "16x16"),
    ("size", "1024x1024"),
    ("width", 16),
    ("height", 1024),
    ("num_inference_steps", 1),
    ("num_inference_steps", 200),
    ("true_cfg_scale", 0),
    ("true_cfg_scale", 20.0),
    ("negative_prompt", ""),
    ("negative_prompt", "x" * 8000),
    ("seed", 0),
    ("seed", MAX_SEED),
    ("solver", "euler"),
    ("lora", {"name": "ink", "scale": 0.5}),
    ("lora", {"path": "styles/ink.safetensors"}),
    ("lora", []),
    ("lora", [{"name": "ink"}] * 8),
    ("output_format", "png"),
    ("output_format", "jpeg"),
    ("output_format", "webp"),
    ("output_compression", 100),
    ("background", "auto"),
    ("background", "opaque"),
    ("response_format", "b64_json"),
    ("stream", False),
    ("partial_images", 0),
    ("quality", "hd"),
    ("style", "vivid"),
    ("moderation", "low"),
    ("user", "me"),
    ("vae_use_slicing", True),
    ("vae_use_tiling", False),
    ("extra_body", {}),
    ("extra_body", {"seed": 1, "true_cfg_scale": 2, "vae_use_tiling": True}),
]


@pytest.mark.parametrize(("field", "value"), INSIDE)
async def test_inside_its_bounds_a_field_is_taken(client: httpx.AsyncClient, field: str, value: Any) -> None:
    response = await post(client, **{field: value})
    assert response.status_code == 200, response.text
    assert response.json()["warnings"] == []


REJECTED = [
    ("prompt", ""),
    ("prompt", " \n\t"),
    ("prompt", "x" * 8001),
    ("prompt", None),
    ("model", 5),
    ("n", 0),
    ("n", 11),
    ("n", "1"),
    ("n", True),
    ("size", "Auto"),
    ("size", "0x64"),
    ("size", "64x16385"),
    ("size", "64"),
    ("size", "64x64x64"),
    ("size", "9" * 5000 + "x64"),
    ("size", 64),
    ("width", 0),
    ("width", 16385),
    ("height", "64"),
    ("num_inference_steps", 0),
    ("num_inference_steps", 201),
    ("num_inference_steps", 4.5),
    ("guidance_scale", -0.01),
    ("guidance_scale", 20.01),
    ("guidance_scale", "4"),
    ("guidance_scale", float("nan")),
    ("true_cfg_scale", -0.01),
    ("true_cfg_scale", 20.01),
    ("true_cfg_scale", float("inf")),
    ("true_cfg_scale", True),
    ("negative_prompt", 5),
    ("negative_prompt", "x" * 8001),
    ("seed", -1),
    ("seed", MAX_SEED + 1),
    ("seed", 1.0),
    ("solver", "heun"),
    ("lora", "ink"),
    ("lora", [{"name": "ink"}] * 9),
    ("output_format", "gif"),
    ("output_format", "jpg"),
    ("output_format", "PNG"),
    ("output_compression", -1),
    ("output_compression", 101),
    ("output_compression", 50.0),
    ("background", "white"),
    ("response_format", 5),
    ("stream", "true"),
    ("partial_images", -1),
    ("partial_images", 4),
    ("quality", 5),
    ("style", 5),
    ("moderation", 5),
    ("user", 5),
    ("vae_use_slicing", "yes"),
    ("extra_body", []),
]


@pytest.mark.parametrize(("field", "value"), REJECTED)
async def test_outside_its_bounds_the_schema_rejects_a_field(
    client: httpx.AsyncClient, generator: FakeGenerator, field: str, value: Any
) -> None:
    response = await post(client, **{field: value})
    error = error_of(response)
    assert response.status_code == 422, error
    assert error["param"] == field
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(field)
    assert generator.jobs == {}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"lora": {"name": 5}}, "lora.0.name"),
        ({"lora": [{"name": "ink"}, {"name": "ink", "scale": 11}]}, "lora.1.scale"),
        ({"extra_body": {"true_cfg_scale": 21}}, "extra_body.true_cfg_scale"),
    ],
)
async def test_what_is_wrong_inside_a_field_is_named(
    client: httpx.AsyncClient, fields: dict[str, Any], param: str
) -> None:
    response = await post(client, **fields)
    assert (response.status_code, error_of(response)["param"]) == (422, param)


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"width": 24}, "width", "must be a multiple of 16, got 24"),
        ({"height": 8192}, "height", "must be at most 4096, got 8192"),
        ({"size": "24x16"}, "size", "must be a multiple of 16, got 24"),
        ({"size": "1024x1040"}, "size", "width * height * num_frames must be at most 1,048,576"),
        ({"extra_body": {"height": 24}}, "extra_body.height", "must be a multiple of 16, got 24"),
        ({"seed": MAX_SEED, "n": 2}, "seed", "must be at most"),
        ({"solver": "unipc"}, "solver", "toy-qwen-image takes euler"),
        ({"extra_body": {"solver": "unipc"}}, "extra_body.solver", "toy-qwen-image takes euler"),
        ({"response_format": "png"}, "response_format", "b64_json"),
        ({"partial_images": 1}, "partial_images", "needs stream"),
        ({"background": "transparent"}, "background", "opaque"),
        ({"output_compression": 99}, "output_compression", "jpeg and webp"),
        ({"output_compression": 0, "output_format": "png"}, "output_compression", "jpeg and webp"),
        ({"model": "toy-wan-t2v"}, "model", "for text-to-image use toy-qwen-image"),
    ],
)
async def test_what_the_model_cannot_do_is_400(
    client: httpx.AsyncClient, generator: FakeGenerator, fields: dict[str, Any], param: str, message: str
) -> None:
    response = await post(client, **fields)
    error = error_of(response)
    assert (response.status_code, error["param"]) == (400, param)
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(f"{param}: ")
    assert message in error["message"]
    assert generator.jobs == {}


async def test_webp_has_a_longest_side() -> None:
    card = text_to_image_card()
    limits = card.limits.model_copy(update={"max_side": 16384})
    generator = FakeGenerator([card.model_copy(update={"limits": limits})])
    async with client_of(create_app(generator=generator)) as client:
        response = await post(client, size="16384x16", output_format="webp")
        assert (await post(client, size="16368x16", output_format="webp")).status_code == 200
    assert (response.status_code, error_of(response)["param"]) == (400, "output_format")
    assert "16383" in error_of(response)["message"]
    assert len(generator.jobs) == 1


async def test_every_wrong_field_is_in_the_message(client: httpx.AsyncClient) -> None:
    response = await client.post(URL, json={"n": 11, "size": "big", "output_format": "gif"})
    assert response.status_code == 422
    sentences = {
        "prompt is required",
        "n must be at most 10, got 11",
        'size must be "auto", or "WIDTHxHEIGHT" in pixels, each from 1 to 16384, like "1024x1024", got "big"',
        "output_format must be 'png', 'jpeg' or 'webp', got \"gif\"",
    }
    assert set(error_of(response)["message"].split("; ")) == sentences


async def test_null_counts_as_absent(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    names = {field for field, _ in INSIDE if field != "prompt"} | {"guidance_scale"}
    response = await post(client, **dict.fromkeys(names))
    assert response.status_code == 200
    assert response.json()["warnings"] == []
    assert only_job(generator).num_inference_steps == 3


# What the fields come to


async def test_what_is_left_open_is_the_models_own(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    body = (await post(client)).json()
    job = only_job(generator)
    assert (job.width, job.height, job.num_frames, job.num_inference_steps) == (64, 48, 1, 3)
    assert (job.true_cfg_scale, job.negative_prompt, job.solver, job.lora) == (4.0, " ", "euler", ())
    assert job.guidance_scale is None
    assert not type(job).model_fields.keys() & {"guidance_scale_2", "flow_shift", "boundary_ratio"}
    assert (body["model"], body["size"], body["output_format"]) == ("toy-qwen-image", "64x48", "png")


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"size": "32x16"}, (32, 16)),
        ({"size": "auto"}, (64, 48)),
        ({"size": "auto", "width": 32}, (32, 48)),
        ({"size": "32x16", "width": 64}, (64, 16)),
        ({"width": 32}, (32, 48)),
        ({"size": "32x16", "extra_body": {"width": 64}}, (32, 16)),
        ({"size": "auto", "extra_body": {"width": 16, "height": 16}}, (16, 16)),
    ],
)
async def test_the_size_comes_from_the_most_specific_field(
    client: httpx.AsyncClient, generator: FakeGenerator, fields: dict[str, Any], size: tuple[int, int]
) -> None:
    body = (await post(client, **fields)).json()
    assert (only_job(generator).width, only_job(generator).height) == size
    assert body["size"] == "{}x{}".format(*size)


@pytest.mark.parametrize(
    ("fields", "scale"),
    [
        ({"true_cfg_scale": 2}, 2),
        ({"extra_body": {"true_cfg_scale": 2}}, 2),
        ({"true_cfg_scale": 2, "extra_body": {"true_cfg_scale": 3}}, 2),
    ],
)
async def test_extra_body_fills_what_is_absent(
    client: httpx.AsyncClient, generator: FakeGenerator, fields: dict[str, Any], scale: float
) -> None:
    assert (await post(client, **fields)).json()["params"]["true_cfg_scale"] == scale
    assert only_job(generator).true_cfg_scale == scale


@pytest.mark.parametrize(
    ("fields", "name"),
    [({"guidance_scale": 7}, "guidance_scale"), ({"extra_body": {"guidance_scale": 7}}, "extra_body.guidance_scale")],
)
async def test_guidance_that_a_model_has_no_use_for_is_taken_with_a_warning(
    client: httpx.AsyncClient, generator: FakeGenerator, fields: dict[str, Any], name: str
) -> None:
    body = (await post(client, **fields)).json()
    assert body["warnings"] == [f"{name} has no effect on toy-qwen-image, use true_cfg_scale"]
    assert (only_job(generator).guidance_scale, only_job(generator).true_cfg_scale) == (None, 4.0)


async def test_a_model_distilled_for_guidance_takes_it() -> None:
    card = text_to_image_card("toy-distilled")
    defaults = card.defaults.model_copy(update={"guidance_scale": 3.5, "true_cfg_scale": None})
    generator = FakeGenerator([card.model_copy(update={"defaults": defaults})])
    async with client_of(create_app(generator=generator)) as client:
        response = await post(client, guidance_scale=7)
        refused = await post(client, true_cfg_scale=7)
    assert response.json()["warnings"] == []
    assert only_job(generator).guidance_scale == 7
    assert (refused.status_code, error_of(refused)["param"]) == (400, "true_cfg_scale")


async def test_a_job_for_each_of_n_with_seeds_that_count_up(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    body = (await post(client, n=3, seed=MAX_SEED - 2)).json()
    seeds = [MAX_SEED - 2, MAX_SEED - 1, MAX_SEED]
    assert [entry["seed"] for entry in body["data"]] == seeds
    assert sorted(job.seed for job in generator.jobs.values()) == seeds


async def test_a_random_seed_is_reported(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    first, second = [(await post(client, n=2)).json()["data"] for _ in range(2)]
    assert first[1]["seed"] == first[0]["seed"] + 1
    assert first[0]["seed"] != second[0]["seed"]
    assert {entry["seed"] for entry in first + second} == {job.seed for job in generator.jobs.values()}


async def test_adapters_reach_the_job_and_the_report(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    one = await post(client, lora={"name": "ink", "scale": 0.5})
    assert [lora.name for lora in only_job(generator).lora] == ["ink"]
    assert [(lora["name"], lora["scale"]) for lora in one.json()["params"]["lora"]] == [("ink", 0.5)]
    two = await post(client, lora=[{"name": "ink"}, {"path": "foil.safetensors"}])
    assert [(lora["name"], lora["path"]) for lora in two.json()["params"]["lora"]] == [
        ("ink", None),
        (None, "foil.safetensors"),
    ]


# Unknown fields


async def test_unknown_fields_have_no_effect_and_are_named(client: httpx.AsyncClient) -> None:
    response = await post(client, sedd=None, fps=5, extra_body={"n": 2, "foo": {"a": [1]}})
    assert response.status_code == 200
    names = ["sedd", "fps", "extra_body.n", "extra_body.foo"]
    assert response.json()["warnings"] == [f"unknown field {name!r} has no effect" for name in names]
    assert len(response.json()["data"]) == 1


async def test_the_server_can_refuse_unknown_fields(generator: FakeGenerator) -> None:
    async with client_of(create_app(Settings(unknown_fields="refuse"), generator)) as client:
        response = await post(client, sedd=5)
        assert (await post(client, vae_use_slicing=True, vae_use_tiling=True)).status_code == 200
    error = error_of(response)
    assert response.status_code == 422
    assert (error["param"], error["code"]) == ("sedd", "unknown_parameter")
    assert len(generator.jobs) == 1
