"""Requests: bounds, the model's defaults, and what the model cannot do."""

import json
import math
from typing import Any

import numpy as np
import pytest

from protocol.errors import InvalidRequest
from protocol.model_card import Extent, Limits, ModelCard
from protocol.resolve import parse, resolve, round_frames
from protocol.sampling import MAX_SEED, SPECS, WanSpec
from tests.model_cards import (
    image_to_video_card,
    model_card,
    text_or_image_to_video_card,
    text_to_image_card,
)

TWO_EXPERTS = model_card(limits=Limits(size_multiple=16, max_side=4096, max_frames=33, max_pixel_frames=64 * 64 * 33))
ONE_EXPERT = model_card(experts=1)


def made_of(card: ModelCard = TWO_EXPERTS, **fields: Any) -> Any:
    return resolve(parse({"prompt": "a cat", **fields}), card)


def test_a_prompt_alone_takes_everything_else_from_the_card() -> None:
    params = made_of(seed=5)

    assert params == WanSpec(
        prompt="a cat",
        negative_prompt="ugly",
        width=64,
        height=48,
        num_frames=9,
        num_inference_steps=3,
        guidance_scale=4.0,
        guidance_scale_2=3.0,
        seed=5,
        flow_shift=12.0,
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
    given: dict[str, Any], pair: tuple[float, float]
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
def test_what_the_model_cannot_do_names_the_field(fields: dict[str, Any], blamed: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        made_of(**fields)
    assert refused.value.field == blamed


@pytest.mark.parametrize(
    ("extent", "fields", "blamed"),
    [
        ("max_frames", {"num_frames": 37}, "num_frames"),
        ("max_side", {"width": 4112}, "width"),
        ("max_side", {"height": 4112}, "height"),
        ("max_pixel_frames", {"width": 96, "num_frames": 33}, "size"),
    ],
)
def test_a_limit_of_engines_says_what_can_be_done_about_it(extent: Extent, fields: dict[str, Any], blamed: str) -> None:
    limits = TWO_EXPERTS.limits.model_copy(update={"of_engines": (extent,)})
    card = TWO_EXPERTS.model_copy(update={"limits": limits})
    for other in (TWO_EXPERTS, card):
        with pytest.raises(InvalidRequest, match=r"must be at most [\d,]+") as refused:
            made_of(other, **fields)
        assert refused.value.field == blamed
        assert ("built for more with `python -m export.engines --size" in refused.value.message) == (other is card)


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
        ("true_cfg_scale", [-0.001, 20.001]),
        ("lora", ["ink", {}, {"scale": 1}, {"name": "a", "high": "b"}, {"name": ""}, {"name": "a", "scale": math.inf}]),
        ("lora", [[{"name": "a"}] * 9, [{"name": "a", "high": "b"}], {"name": "a", "wait": 1}]),
        ("no_such_field", [1]),
    ],
)
def test_just_outside_the_bounds_is_refused_by_name(field: str, outside: list[Any]) -> None:
    for value in outside:
        with pytest.raises(InvalidRequest) as refused:
            made_of(**{field: value})
        assert refused.value.field == field


def test_one_adapter_may_stand_alone() -> None:
    alone, listed = made_of(lora={"name": "ink"}), made_of(lora=[{"name": "ink", "scale": 1.0}])
    assert alone.lora == listed.lora
    assert made_of().lora == ()


@pytest.mark.parametrize(
    ("field", "value"), [("flow_shift", 3.0), ("boundary_ratio", 0.5), ("guidance_scale_2", 3.0), ("solver", "unipc")]
)
def test_what_an_image_model_has_no_use_for_is_refused(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        made_of(text_to_image_card(), **{field: value})
    assert refused.value.field == field


def test_true_cfg_scale_is_for_models_that_are_guided_by_it() -> None:
    assert made_of(text_to_image_card(), true_cfg_scale=2.5).true_cfg_scale == 2.5
    with pytest.raises(InvalidRequest, match="guided by guidance_scale"):
        made_of(true_cfg_scale=2.5)


def test_a_model_that_was_not_distilled_for_guidance_scale_ignores_it() -> None:
    params = made_of(text_to_image_card(), guidance_scale=7.0)
    assert (params.guidance_scale, params.true_cfg_scale) == (None, 4.0)


IMAGE = np.zeros((48, 64, 3), np.uint8)


@pytest.mark.parametrize(
    ("card", "image"),
    [
        (model_card(), IMAGE),
        (text_to_image_card(), IMAGE),
        (image_to_video_card(), None),
        (image_to_video_card(), IMAGE[:32]),
        (image_to_video_card(), IMAGE.astype(np.float32)),
        (text_or_image_to_video_card(), IMAGE[..., :1]),
    ],
)
def test_an_image_goes_to_models_that_take_one_and_has_the_videos_size(card: ModelCard, image: Any) -> None:
    with pytest.raises(InvalidRequest) as refused:
        made_of(card, image=image)
    assert refused.value.field == "image"


@pytest.mark.parametrize("card", [image_to_video_card(), text_or_image_to_video_card()])
def test_the_image_reaches_the_model(card: ModelCard) -> None:
    assert made_of(card, image=IMAGE).image is IMAGE


def test_a_text_alone_is_enough_for_a_model_that_does_both() -> None:
    assert made_of(text_or_image_to_video_card()).image is None


def test_a_spec_in_json_leaves_the_image_out() -> None:
    params = made_of(image_to_video_card(), image=IMAGE, lora={"name": "ink", "scale": 0.5})
    said = json.loads(params.parameters())
    assert not said.keys() & {"image", "prompt"}
    assert said["lora"] == [{"name": "ink", "scale": 0.5}]


def without(card: ModelCard, *names: str) -> ModelCard:
    """The card as it is read when its file says nothing of these defaults."""
    said = card.model_dump(mode="json")
    for name in names:
        del said["defaults"][name]
    return ModelCard.model_validate_json(json.dumps(said))


def test_a_default_that_a_card_does_not_mention_is_the_fields_own() -> None:
    params = made_of(without(TWO_EXPERTS, "negative_prompt", "solver"))
    assert (params.negative_prompt, params.solver) == ("", "unipc")
    assert made_of(without(TWO_EXPERTS, "negative_prompt"), negative_prompt="blurry").negative_prompt == "blurry"


@pytest.mark.parametrize("name", ["guidance_scale_2", "boundary_ratio"])
def test_an_optional_field_that_a_card_does_not_mention_is_one_that_its_model_lacks(name: str) -> None:
    card = without(TWO_EXPERTS, name)
    assert getattr(made_of(card), name) is None
    with pytest.raises(InvalidRequest, match="has no use for it: it has one transformer") as refused:
        made_of(card, **{name: 0.5})
    assert refused.value.field == name


def test_a_card_that_lacks_what_its_family_needs_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest) as refused:
        made_of(without(TWO_EXPERTS, "flow_shift"))
    assert refused.value.field == "flow_shift"


def test_a_family_that_is_not_known_is_named() -> None:
    with pytest.raises(InvalidRequest, match="family sora") as refused:
        made_of(model_card(family="sora"))
    assert refused.value.field == "model"


def test_a_resolved_request_resolves_to_itself() -> None:
    for card in (TWO_EXPERTS, ONE_EXPERT, text_to_image_card()):
        params = made_of(card, seed=5, width=32, num_frames=1, lora={"low": "ink"})
        again = resolve(parse({"prompt": params.prompt, **json.loads(params.parameters())}), card)
        assert again == params


def test_every_field_of_a_spec_says_what_it_is() -> None:
    for spec in SPECS.values():
        said = spec.model_json_schema()["properties"]
        assert [name for name, field in said.items() if not {"description", "examples"} <= field.keys()] == []
