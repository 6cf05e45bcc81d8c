"""Requests: bounds, the model's defaults, and what the model cannot do."""

import math
from typing import Any

import pytest

from pipelines.errors import InvalidRequest
from pipelines.model_card import Components, LatentSpace, Limits, ModelCard, SamplingDefaults
from pipelines.request import MAX_SEED, SamplingParams, parse, resolve, round_frames

TWO_EXPERTS = ModelCard(
    id="m",
    family="wan_t2v",
    defaults=SamplingDefaults(
        width=64,
        height=48,
        num_frames=9,
        fps=8,
        num_inference_steps=12,
        guidance_scale=4.0,
        guidance_scale_2=3.0,
        negative_prompt="blurry",
        flow_shift=3.0,
        boundary_ratio=0.875,
    ),
    limits=Limits(size_multiple=16, max_side=4096, max_frames=33, max_pixel_frames=64 * 64 * 33),
    latents=LatentSpace(channels=16, temporal_stride=4, spatial_stride=8, mean=(0.0,) * 16, std=(1.0,) * 16),
    components=Components(
        text_encoder="wan_text_encoder",
        transformer="wan_t2v_transformer",
        transformer_2="wan_t2v_transformer_2",
        vae="wan_vae",
    ),
    max_sequence_length=512,
    num_train_timesteps=1000,
)
ONE_EXPERT = TWO_EXPERTS.model_copy(
    update={
        "components": TWO_EXPERTS.components.model_copy(update={"transformer_2": None}),
        "defaults": TWO_EXPERTS.defaults.model_copy(update={"guidance_scale_2": None, "boundary_ratio": None}),
    }
)


def made_of(card: ModelCard = TWO_EXPERTS, **fields: Any) -> SamplingParams:
    return resolve(parse({"prompt": "a cat", **fields}), card)


def test_a_prompt_alone_takes_everything_else_from_the_card() -> None:
    params = made_of(seed=5)

    assert params == SamplingParams(
        prompt="a cat",
        negative_prompt="blurry",
        width=64,
        height=48,
        num_frames=9,
        num_inference_steps=12,
        guidance_scale=4.0,
        guidance_scale_2=3.0,
        seed=5,
        flow_shift=3.0,
        boundary_ratio=0.875,
        solver="unipc",
    )


def test_without_a_seed_each_request_gets_its_own() -> None:
    assert len({made_of().seed for _ in range(20)}) == 20


@pytest.mark.parametrize(
    ("given", "pair"),
    [
        ({}, (4.0, 3.0)),
        ({"guidance_scale": 6.0}, (6.0, 6.0)),
        ({"guidance_scale_2": 1.5}, (4.0, 1.5)),
        ({"guidance_scale": 6.0, "guidance_scale_2": 2.0}, (6.0, 2.0)),
    ],
)
def test_the_second_guidance_follows_the_first_when_only_that_is_given(
    given: dict[str, float], pair: tuple[float, float]
) -> None:
    params = made_of(**given)
    assert (params.guidance_scale, params.guidance_scale_2) == pair


@pytest.mark.parametrize("field", ["guidance_scale_2", "boundary_ratio"])
def test_one_transformer_has_no_second_guidance_and_no_boundary(field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        made_of(ONE_EXPERT, **{field: 0.5})
    assert refused.value.field == field


@pytest.mark.parametrize(("asked", "made"), [(1, 1), (4, 1), (5, 5), (8, 5), (9, 9), (32, 29), (33, 33)])
def test_frames_are_rounded_down_to_4k_plus_1(asked: int, made: int) -> None:
    assert round_frames(asked, 4) == made
    assert made_of(num_frames=asked).num_frames == made


@pytest.mark.parametrize(
    ("fields", "blamed"),
    [
        ({"width": 40}, "width"),
        ({"height": 8}, "height"),
        ({"width": 4112, "height": 16, "num_frames": 1}, "width"),
        ({"width": 16, "height": 4112, "num_frames": 1}, "height"),
        ({"num_frames": 34}, "num_frames"),
        ({"width": 80, "height": 64, "num_frames": 33}, "size"),
    ],
)
def test_what_the_model_cannot_do_names_the_field(fields: dict[str, int], blamed: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        made_of(**fields)
    assert refused.value.field == blamed


@pytest.mark.parametrize(
    ("field", "inside"),
    [
        ("prompt", ["x", "x" * 8000]),
        ("num_inference_steps", [1, 200]),
        ("guidance_scale", [0, 20.0]),
        ("guidance_scale_2", [0.0, 20]),
        ("seed", [0, MAX_SEED]),
        ("flow_shift", [1e-6, 100]),
        ("boundary_ratio", [0, 1.0]),
        ("solver", ["unipc", "euler"]),
        ("negative_prompt", ["", "x" * 8000]),
    ],
)
def test_bounds_include_their_ends(field: str, inside: list[Any]) -> None:
    for value in inside:
        assert getattr(made_of(**{field: value}), field) == value


@pytest.mark.parametrize(
    ("field", "outside"),
    [
        ("prompt", ["", "  \n", "x" * 8001, 3, None]),
        ("num_inference_steps", [0, 201, 5.5, "5", True]),
        ("guidance_scale", [-0.001, 20.001, math.nan, math.inf, "4"]),
        ("guidance_scale_2", [-0.001, 20.001, math.nan]),
        ("seed", [-1, MAX_SEED + 1, 1.5]),
        ("flow_shift", [0, 100.001, -math.inf]),
        ("boundary_ratio", [-0.001, 1.001, math.nan]),
        ("num_frames", [0, -3, 2.5]),
        ("width", [0, -16, "64"]),
        ("height", [0, -16]),
        ("solver", ["ddim", ""]),
        ("no_such_field", [1]),
    ],
)
def test_just_outside_the_bounds_is_refused_by_name(field: str, outside: list[Any]) -> None:
    for value in outside:
        with pytest.raises(InvalidRequest) as refused:
            made_of(**{field: value})
        assert refused.value.field == field
