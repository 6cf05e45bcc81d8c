"""The request table: what each field takes, just inside and just outside of its bounds."""

import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from frontend.app import create_app
from frontend.settings import Settings
from protocol.sampling import MAX_SEED
from tests.frontend.conftest import client_of
from tests.frontend.fake_generator import FakeGenerator
from tests.model_cards import model_card

URL = "/v1/videos/generations"
PROMPT = {"prompt": "a red circle"}


async def post(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(URL, json=PROMPT | fields)


def error_of(response: httpx.Response) -> dict[str, Any]:
    """The envelope's content, after checking its shape."""
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert list(body) == ["error"]
    assert sorted(body["error"]) == ["code", "message", "param", "type"]
    error: dict[str, Any] = body["error"]
    return error


def only_job(generator: FakeGenerator) -> Any:
    assert len(generator.jobs) == 1
    return next(iter(generator.jobs.values()))


INSIDE = [
    ("prompt", "x"),
    ("prompt", "x" * 8000),
    ("prompt", "  ein Fuchs läuft 🦊\n\u0000 "),
    ("model", "toy-wan-t2v"),
    ("n", 1),
    ("n", 10),
    ("size", "16x16"),
    ("size", "256x256"),
    ("width", 16),
    ("height", 256),
    ("num_frames", 1),
    ("num_frames", 161),
    ("fps", 1),
    ("fps", 120),
    ("fps", 23.976),
    ("seconds", "0.001"),
    ("seconds", 0.001),
    ("seconds", 20),  # 161 frames at 8 fps
    ("num_inference_steps", 1),
    ("num_inference_steps", 200),
    ("guidance_scale", 0),
    ("guidance_scale", 20),
    ("guidance_scale_2", 0.0),
    ("guidance_scale_2", 20.0),
    ("negative_prompt", ""),
    ("negative_prompt", "x" * 8000),
    ("seed", 0),
    ("seed", MAX_SEED),
    ("flow_shift", 1e-6),
    ("flow_shift", 100),
    ("boundary_ratio", 0),
    ("boundary_ratio", 1),
    ("solver", "unipc"),
    ("solver", "euler"),
    ("video_params", {}),
    ("video_params", {"width": 16, "height": 16, "num_frames": 5, "fps": 120}),
    ("extra_body", {}),
    ("extra_body", {"solver": "euler", "seed": 1}),
    ("lora", {"name": "ink"}),
    ("lora", [{"path": "styles/ink.safetensors", "scale": -10}, {"high": "a", "low": "b"}]),
    ("lora", []),
    ("response_format", "b64_json"),
    ("stream", False),
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
    ("prompt", 5),
    ("prompt", None),
    ("prompt", ["a"]),
    ("model", 5),
    ("n", 0),
    ("n", 11),
    ("n", "1"),
    ("n", True),
    ("n", 1.5),
    ("n", 10**400),
    ("size", "0x64"),
    ("size", "64x16385"),
    ("size", "64"),
    ("size", "64X64"),
    ("size", "64x64x64"),
    ("size", " 64x64"),
    ("size", "-64x64"),
    ("size", "٦٤x٦٤"),
    ("size", "9" * 5000 + "x64"),
    ("size", 64),
    ("width", 0),
    ("width", 16385),
    ("width", "64"),
    ("width", 64.0),
    ("height", 0),
    ("height", 16385),
    ("num_frames", 0),
    ("num_frames", 100_001),
    ("num_frames", "9"),
    ("fps", 0.99),
    ("fps", 120.01),
    ("fps", "16"),
    ("fps", True),
    ("fps", float("nan")),
    ("seconds", 0),
    ("seconds", 3601),
    ("seconds", "5 s"),
    ("seconds", float("inf")),
    ("num_inference_steps", 0),
    ("num_inference_steps", 201),
    ("guidance_scale", -0.01),
    ("guidance_scale", 20.01),
    ("guidance_scale", "4"),
    ("guidance_scale", True),
    ("guidance_scale", float("nan")),
    ("guidance_scale", float("inf")),
    ("guidance_scale", 10**400),
    ("guidance_scale_2", -0.01),
    ("guidance_scale_2", 20.01),
    ("guidance_scale_2", float("nan")),
    ("negative_prompt", 5),
    ("negative_prompt", "x" * 8001),
    ("seed", -1),
    ("seed", MAX_SEED + 1),
    ("seed", 1.0),
    ("seed", float("nan")),
    ("flow_shift", 0),
    ("flow_shift", 100.01),
    ("flow_shift", float("inf")),
    ("boundary_ratio", -0.01),
    ("boundary_ratio", 1.01),
    ("boundary_ratio", float("-inf")),
    ("solver", "heun"),
    ("lora", "name"),
    ("lora", [{"name": "ink"}] * 9),
    ("video_params", 5),
    ("extra_body", []),
    ("response_format", 5),
    ("stream", "true"),
    ("stream", 1),
]


@pytest.mark.parametrize(("field", "value"), REJECTED)
async def test_outside_its_bounds_the_schema_rejects_a_field(
    client: httpx.AsyncClient, generator: FakeGenerator, field: str, value: Any
) -> None:
    response = await _post_loosely(client, PROMPT | {field: value})
    error = error_of(response)
    assert response.status_code == 422, error
    assert error["param"] == field
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(field)
    assert generator.jobs == {}


async def _post_loosely(client: httpx.AsyncClient, body: dict[str, Any]) -> httpx.Response:
    """Like httpx's own JSON, but with NaN, infinity and numbers of any length."""
    return await client.post(URL, content=json.dumps(body), headers={"Content-Type": "application/json"})


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"width": 24}, "width"),
        ({"height": 17}, "height"),
        ({"size": "24x16"}, "size"),
        ({"video_params": {"width": 24}}, "video_params.width"),
        ({"extra_body": {"height": 24}}, "extra_body.height"),
        ({"size": "272x256", "num_frames": 161}, "size"),
        ({"num_frames": 162}, "num_frames"),
        ({"num_frames": 165}, "num_frames"),
        ({"video_params": {"num_frames": 165}}, "video_params.num_frames"),
        ({"seconds": 20.2}, "seconds"),
        ({"seconds": 3600, "fps": 120}, "seconds"),
        ({"seed": MAX_SEED, "n": 2}, "seed"),
        ({"response_format": "gif"}, "response_format"),
    ],
)
async def test_what_the_model_cannot_do_is_400(
    client: httpx.AsyncClient, generator: FakeGenerator, fields: dict[str, Any], param: str
) -> None:
    response = await post(client, **fields)
    error = error_of(response)
    assert (response.status_code, error["param"]) == (400, param)
    assert error["type"] == "invalid_request_error"
    assert error["message"].startswith(f"{param}: ")
    assert generator.jobs == {}


@pytest.mark.parametrize("field", ["guidance_scale_2", "boundary_ratio"])
async def test_a_model_with_one_transformer_takes_no_second_guidance_or_boundary(field: str) -> None:
    app = create_app(generator=FakeGenerator([model_card(experts=1)]))
    async with client_of(app) as client:
        response = await post(client, **{field: 0.5})
    assert response.status_code == 400
    assert error_of(response)["param"] == field


async def test_every_wrong_field_is_in_the_message(client: httpx.AsyncClient) -> None:
    response = await client.post(URL, json={"n": 11, "fps": "fast", "extra_body": {"solver": "heun"}})
    assert response.status_code == 422
    assert error_of(response)["message"] == (
        "prompt is required; "
        "n must be at most 10, got 11; "
        'fps must be a number, got "fast"; '
        "extra_body.solver must be 'unipc' or 'euler', got \"heun\""
    )


@pytest.mark.parametrize(
    ("fields", "message", "code"),
    [
        ({"prompt": "  "}, 'prompt must not be blank, got "  "', "invalid_value"),
        ({"prompt": None}, "prompt must be a string", "invalid_type"),
        ({"flow_shift": 0}, "flow_shift must be greater than 0, got 0", "invalid_value"),
        (
            {"size": "big"},
            'size must be "WIDTHxHEIGHT" in pixels, each from 1 to 16384, like "832x480", got "big"',
            "invalid_value",
        ),
        ({"stream": "no"}, 'stream must be true or false, got "no"', "invalid_type"),
        ({"lora": 5}, "lora must be an object, or an array of them, got 5", "invalid_type"),
        ({"lora": [{"name": "ink"}] * 9}, "lora must have at most 8 entries", "invalid_value"),
        (
            {"lora": {"scale": 1}},
            "lora.0 must have one of `name`, `path`, or the pair `high` and `low`",
            "invalid_value",
        ),
        ({"lora": [{"name": "a"}, {"nam": "b"}]}, 'lora.1.nam is not a known field, got "b"', "invalid_value"),
        ({"lora": {"name": "ink", "scale": 11}}, "lora.0.scale must be at most 10, got 11", "invalid_value"),
        ({"video_params": 5}, "video_params must be an object, got 5", "invalid_type"),
    ],
)
async def test_messages_say_what_is_allowed(
    client: httpx.AsyncClient, fields: dict[str, Any], message: str, code: str
) -> None:
    error = error_of(await post(client, **fields))
    assert (error["message"], error["code"]) == (message, code)


async def test_a_missing_prompt_is_named(client: httpx.AsyncClient) -> None:
    error = error_of(await client.post(URL, json={}))
    assert error["param"] == "prompt"
    assert error["code"] == "missing_required_parameter"


async def test_text_that_is_not_unicode_is_rejected(client: httpx.AsyncClient) -> None:
    response = await client.post(URL, content=rb'{"prompt": "\ud800"}', headers={"Content-Type": "application/json"})
    assert response.status_code == 422
    assert error_of(response)["param"] == "prompt"


async def test_null_counts_as_absent(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    names = [field for field, _ in INSIDE if field != "prompt"] + ["lora"]
    response = await post(client, **dict.fromkeys(names))
    assert response.status_code == 200
    assert response.json()["warnings"] == []
    assert only_job(generator).num_inference_steps == 3


# What the fields come to


async def test_what_is_left_open_is_the_models_own(client: httpx.AsyncClient, generator: FakeGenerator) -> None:
    body = (await post(client)).json()
    job = only_job(generator)
    assert (job.width, job.height, job.num_frames, job.num_inference_steps) == (64, 48, 9, 3)
    assert (job.guidance_scale, job.guidance_scale_2, job.flow_shift, job.boundary_ratio) == (4.0, 3.0, 12.0, 0.875)
    assert (job.negative_prompt, job.solver) == ("ugly", "unipc")
    assert (body["size"], body["num_frames"], body["fps"]) == ("64x48", 9, 8)


@pytest.mark.parametrize(
    ("fields", "pair"),
    [
        ({"guidance_scale": 5}, (5, 5)),
        ({"guidance_scale_2": 2}, (4, 2)),
        ({"guidance_scale": 5, "guidance_scale_2": 2}, (5, 2)),
    ],
)
async def test_the_second_guidance_follows_the_first(
    client: httpx.AsyncClient, generator: FakeGenerator, fields: dict[str, Any], pair: tuple[float, float]
) -> None:
    await post(client, **fields)
    assert (only_job(generator).guidance_scale, only_job(generator).guidance_scale_2) == pair


@pytest.mark.parametrize(
    ("fields", "size"),
    [
        ({"size": "32x16"}, (32, 16)),
        ({"size": "32x16", "width": 64}, (64, 16)),
        ({"size": "24x16", "width": 64}, (64, 16)),
        ({"size": "32x16", "width": 64, "height": 80}, (64, 80)),
        ({"width": 32}, (32, 48)),
        ({"video_params": {"width": 32, "height": 16}}, (32, 16)),
        ({"height": 64, "video_params": {"width": 32, "height": 16}}, (32, 64)),
        ({"size": "32x16", "video_params": {"width": 64}}, (32, 16)),
        ({"video_params": {"width": 32}, "extra_body": {"width": 64, "height": 64}}, (32, 64)),
    ],
)
async def test_the_size_comes_from_the_most_specific_field(
    client: httpx.AsyncClient, generator: FakeGenerator, fields: dict[str, Any], size: tuple[int, int]
) -> None:
    body = (await post(client, **fields)).json()
    assert (only_job(generator).width, only_job(generator).height) == size
    assert body["size"] == "{}x{}".format(*size)


@pytest.mark.parametrize(
    ("fields", "made", "warnings"),
    [
        ({"num_frames": 9}, 9, []),
        ({"num_frames": 12}, 9, ["num_frames: 12 is not 4k+1, 9 were made"]),
        ({"num_frames": 2}, 1, ["num_frames: 2 is not 4k+1, 1 were made"]),
        ({"seconds": 5, "fps": 16}, 81, []),
        ({"seconds": 2}, 17, []),  # at the model's 8 fps
        ({"seconds": 1, "fps": 10}, 9, ["num_frames: 11 is not 4k+1, 9 were made"]),
        ({"seconds": 0.7, "fps": 10}, 5, ["num_frames: 8 is not 4k+1, 5 were made"]),  # 0.7 * 10 is 7.000000000000001
        ({"seconds": 0.29, "fps": 100}, 29, ["num_frames: 30 is not 4k+1, 29 were made"]),  # 28.999999999999996
        ({"seconds": 5, "num_frames": 9}, 9, ["seconds has no effect beside num_frames"]),
        ({"seconds": 2, "video_params": {"num_frames": 5}}, 17, []),
        ({"video_params": {"num_frames": 5}, "extra_body": {"seconds": 2}}, 5, []),
    ],
)
async def test_the_frame_count_is_what_was_made(
    client: httpx.AsyncClient, generator: FakeGenerator, fields: dict[str, Any], made: int, warnings: list[str]
) -> None:
    body = (await post(client, **fields)).json()
    assert body["num_frames"] == only_job(generator).num_frames == made
    assert body["warnings"] == warnings
    assert body["seconds"] == pytest.approx(made / body["fps"])


@pytest.mark.parametrize(
    ("fields", "solver"),
    [
        ({"extra_body": {"solver": "euler"}}, "euler"),
        ({"solver": "euler"}, "euler"),  # where the openai SDK puts what its callers call extra_body
        ({"solver": "unipc", "extra_body": {"solver": "euler"}}, "unipc"),
    ],
)
async def test_extra_body_fills_what_is_absent(
    client: httpx.AsyncClient, generator: FakeGenerator, fields: dict[str, Any], solver: str
) -> None:
    assert (await post(client, **fields)).json()["params"]["solver"] == solver
    assert only_job(generator).solver == solver


@pytest.mark.parametrize(
    ("fields", "adapters"),
    [
        ({"lora": {"name": "ink"}}, [("ink", 1.0)]),
        ({"lora": [{"name": "ink", "scale": 0.5}, {"name": "fog"}]}, [("ink", 0.5), ("fog", 1.0)]),
        ({"extra_body": {"lora": {"name": "ink"}}}, [("ink", 1.0)]),
        ({"lora": [], "extra_body": {"lora": {"name": "ink"}}}, []),
    ],
)
async def test_adapters_reach_the_model_in_order(
    client: httpx.AsyncClient, generator: FakeGenerator, fields: dict[str, Any], adapters: list[tuple[str, float]]
) -> None:
    body = (await post(client, **fields)).json()
    assert [(lora.name, lora.scale) for lora in only_job(generator).lora] == adapters
    assert [(lora["name"], lora["scale"]) for lora in body["params"]["lora"]] == adapters


async def test_a_video_for_each_of_n_with_seeds_that_count_up(
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


# Unknown fields


async def test_unknown_fields_have_no_effect_and_are_named(client: httpx.AsyncClient) -> None:
    response = await post(
        client, user="me", sedd=None, video_params={"seed": 1, "fps": 16}, extra_body={"n": 2, "foo": {"a": [1]}}
    )
    assert response.status_code == 200
    names = ["user", "sedd", "video_params.seed", "extra_body.n", "extra_body.foo"]
    assert response.json()["warnings"] == [f"unknown field {name!r} has no effect" for name in names]
    assert len(response.json()["data"]) == 1


async def test_what_the_generator_warns_of_is_said_once_whatever_n_is(
    client: httpx.AsyncClient, generator: FakeGenerator
) -> None:
    generator.warnings = ("negative_prompt has no effect",)
    body = (await post(client, n=3, sedd=1)).json()
    assert body["warnings"] == ["unknown field 'sedd' has no effect", "negative_prompt has no effect"]


async def test_a_flood_of_unknown_fields_gives_a_short_answer(client: httpx.AsyncClient) -> None:
    warnings = (await post(client, **{f"x{i:03}" * 30: i for i in range(500)})).json()["warnings"]
    assert len(warnings) == 21
    assert "... and 480 more" in warnings[-1]
    assert max(map(len, warnings)) < 150


async def test_an_unknown_name_that_is_not_unicode_does_no_harm(client: httpx.AsyncClient) -> None:
    body = rb'{"prompt": "x", "\ud800": 1}'
    response = await client.post(URL, content=body, headers={"Content-Type": "application/json"})
    assert response.status_code in (200, 422)
    assert response.status_code == 422 or response.json()["warnings"] == ["unknown field '?' has no effect"]


async def test_the_server_can_refuse_unknown_fields(generator: FakeGenerator) -> None:
    app: FastAPI = create_app(Settings(unknown_fields="refuse"), generator)
    async with client_of(app) as client:
        response = await post(client, sedd=5, extra_body={"foo": 1})
        assert (await post(client, extra_body={"solver": "euler"})).status_code == 200
    error = error_of(response)
    assert response.status_code == 422
    assert (error["param"], error["code"]) == ("sedd", "unknown_parameter")
    assert "sedd" in error["message"]
    assert "extra_body.foo" in error["message"]
    assert len(generator.jobs) == 1
