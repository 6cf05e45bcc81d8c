"""What becomes of values that a model does not offer."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from frontend.providers.hosted_model import LANDSCAPE, PORTRAIT, HostedModel, Price
from frontend.providers.request import FittedRequest, InputImage, VideoRequest, fit, size_of
from frontend.providers.wavespeed import HUNYUAN, LTX_2_PRO, LTX_2_RETAKE
from protocol.errors import InvalidRequest

IMAGE = InputImage(b"png", "image/png")


def fitted(model: HostedModel = HUNYUAN, *, strict: bool = False, **wanted: Any) -> FittedRequest:
    return fit(VideoRequest(**{"prompt": "a fox", **wanted}), model, strict=strict)


def test_what_is_left_open_is_the_model_s() -> None:
    made = fitted()
    assert (made.duration, made.resolution, made.aspect_ratio) == (5, "720p", LANDSCAPE)
    assert (made.operation, made.path) == ("text-to-video", "wavespeed-ai/hunyuan-video-1.5/text-to-video")
    assert made.size == (1280, 720)
    assert made.changes == ()


@pytest.mark.parametrize(
    ("wanted", "offered"),
    [
        ({"duration": 6}, {"duration": 5}),
        ({"duration": 6.5}, {"duration": 5}),
        ({"duration": 9}, {"duration": 8}),
        ({"duration": 1e9}, {"duration": 10}),
        ({"resolution": "1080P"}, {"resolution": "720p"}),
        ({"resolution": "360p"}, {"resolution": "480p"}),
        ({"aspect_ratio": "1:1"}, {"aspect_ratio": PORTRAIT}),
        ({"aspect_ratio": "4:3"}, {"aspect_ratio": LANDSCAPE}),
    ],
)
def test_other_values_become_the_nearest_one_and_the_answer_says_so(
    wanted: dict[str, Any], offered: dict[str, Any]
) -> None:
    made = fitted(**wanted)
    ((name, value),) = offered.items()
    assert getattr(made, name) == value
    assert len(made.changes) == 1
    assert made.changes[0].startswith(f"{name} is {value}")
    with pytest.raises(InvalidRequest) as refused:
        fitted(strict=True, **wanted)
    assert refused.value.field == name


@pytest.mark.parametrize("option", [{"generate_audio": True}, {"enhance_prompt": True}])
def test_options_that_a_model_does_not_take_are_left_out(option: dict[str, Any]) -> None:
    made = fitted(**option)
    assert all(getattr(made, name) is None for name in option)
    assert len(made.changes) == 1
    with pytest.raises(InvalidRequest):
        fitted(strict=True, **option)
    not_wanted: dict[str, Any] = dict.fromkeys(option, False)
    assert fitted(strict=True, **not_wanted).changes == ()


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("prompt", {"prompt": "  "}),
        ("prompt", {"prompt": "x" * 10_001}),
        ("duration", {"duration": 0}),
        ("duration", {"duration": float("nan")}),
        ("resolution", {"resolution": "big"}),
        ("aspect_ratio", {"aspect_ratio": "wide"}),
        ("aspect_ratio", {"aspect_ratio": "0:1"}),
        ("aspect_ratio", {"aspect_ratio": "1:0"}),
        ("aspect_ratio", {"aspect_ratio": "²:1"}),
        ("aspect_ratio", {"aspect_ratio": "9" * 5000 + ":1"}),
        ("model", {"source": "video_1"}),
    ],
)
def test_what_cannot_be_meant_is_refused(field: str, wanted: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as refused:
        fitted(**wanted)
    assert refused.value.field == field


def test_a_model_that_starts_from_nothing_else_needs_it() -> None:
    with pytest.raises(InvalidRequest):
        fitted(LTX_2_RETAKE)
    assert fitted(LTX_2_RETAKE, source="https://example.com/a.mp4").operation == "video-to-video"
    text_alone = replace(HUNYUAN, paths={"text-to-video": "x"})
    with pytest.raises(InvalidRequest) as refused:
        fitted(text_alone, image=IMAGE)
    assert refused.value.field == "model"
    assert fitted(image=IMAGE).path.endswith("image-to-video")


def test_an_operation_has_values_of_its_own() -> None:
    model = replace(
        HUNYUAN,
        paths={**HUNYUAN.paths, "video-extension": "x"},
        otherwise={
            "video-extension": {"durations": (7,), "resolutions": ("720p",), "options": frozenset()},
            "image-to-video": {"aspect_ratios": (), "price": Price.flat("1")},
        },
    )
    extension = fitted(model, source="video_1", resolution="480p", seed=7)
    assert (extension.duration, extension.resolution, extension.seed) == (7, "720p", None)
    assert [change.split()[0] for change in extension.changes] == ["resolution", "seed"]
    from_image = fitted(model, image=IMAGE, aspect_ratio="9:16")
    assert (from_image.aspect_ratio, from_image.size, from_image.price) == ("", (1280, 720), Decimal(5))
    assert "has no effect" in from_image.changes[0]
    assert fitted(model, image=IMAGE).changes == ()
    assert fitted(model).model is model
    assert fitted(model).price == fitted().price


def test_defaults_need_not_be_the_first_and_the_last() -> None:
    model = replace(HUNYUAN, default_duration=8, default_resolution="480p")
    made = fitted(model)
    assert (made.duration, made.resolution, made.changes) == (8, "480p", ())


def test_a_resolution_can_have_durations_of_its_own() -> None:
    model = replace(HUNYUAN, default_duration=10, durations_at={"720p": (8,)})
    assert (fitted(model).duration, fitted(model).changes) == (8, ())
    assert fitted(model, resolution="480p").duration == 10
    made = fitted(model, duration=5)
    assert (made.duration, made.resolution) == (8, "720p")
    assert made.changes == ("duration is 8 seconds, not 5: hunyuan-video-1.5 offers 8 at 720p",)
    with pytest.raises(InvalidRequest) as refused:
        fitted(model, duration=5, strict=True)
    assert refused.value.field == "duration"


def test_a_model_can_have_sizes_of_its_own() -> None:
    model = replace(HUNYUAN, sizes={("720p", LANDSCAPE): (1792, 1024)})
    assert fitted(model).size == (1792, 1024)
    assert fitted(model, aspect_ratio=PORTRAIT).size == (720, 1280)


def test_prices_go_by_the_second_and_the_resolution() -> None:
    assert fitted(duration=10, resolution="480p").price == Decimal("0.20")
    assert fitted(LTX_2_PRO).price == Decimal("0.36")
    with_audio = replace(LTX_2_PRO, price=Price.flat("0.07", audio_factor=2))
    assert fitted(with_audio, generate_audio=True).price == Decimal("0.84")
    assert fitted(with_audio, generate_audio=False).price == fitted(with_audio).price == Decimal("0.42")
    with pytest.raises(KeyError):
        Price.by_resolution(p720="1").of(1, "480p")


def test_sizes() -> None:
    assert size_of("480p", "16:9") == (832, 480)
    assert size_of("720p", "9:16") == (720, 1280)
    assert size_of("1080p", "1:1") == (1080, 1080)
