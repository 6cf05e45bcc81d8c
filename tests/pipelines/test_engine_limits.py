"""What TensorRT engines do not take is refused before a job begins: what a card allows, its engines were built for."""

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from export.engines.profiles import VideoSize, default_size, profiles
from pipelines.condition_cache import ConditionCache
from pipelines.engine_limits import EngineLimits
from pipelines.families import FAMILIES, Pipelines
from protocol.errors import InvalidRequest
from protocol.model_card import ModelCard
from protocol.placement import CPU, Device, EngineName
from protocol.resolve import parse, resolve
from runtime import placement
from runtime.engine_plan import EnginePlan, EnginePlans, EngineProfile
from runtime.gpu import Gpu
from runtime.model_config import asked_for
from tests.model_cards import model_card, text_or_image_to_video_card, text_to_image_card

VIDEOS, IMAGES = text_or_image_to_video_card(), text_to_image_card()
IMAGES = IMAGES.model_copy(update={"rope": {}})  # takes rotary tables


def plans_of(card: ModelCard, component: str, sizes: Sequence[VideoSize], batch: int = 2, rank: int = 8) -> EnginePlans:
    """What is built for a component."""
    found = profiles(card, component, sizes, batch, rank, takes_adapters=component == "transformer")
    of_plan = tuple(
        EngineProfile(
            name=one.name, least={}, most={}, sizes={name: (size.least, size.most) for name, size in one.ranges.items()}
        )
        for one in found
    )
    engine = EnginePlan(graph="model.onnx", fingerprint="f", engine="model.plan", profiles=of_plan)
    return EnginePlans(library="tensorrt-rtx", version="1", capabilities=("8.9",), engines=(engine,))


def limits_of(card: ModelCard, *more: VideoSize, batch: int = 2, rank: int = 8) -> EngineLimits:
    sizes = [default_size(card), *more]
    components = ("text_encoder", "transformer", "vae")
    return EngineLimits({component: plans_of(card, component, sizes, batch, rank) for component in components})


def takes(limits: EngineLimits, card: ModelCard, size: VideoSize) -> bool:
    """Whether a profile of each engine takes the size, by the sizes of the graphs' inputs."""
    for component, plans in limits.plans.items():
        (exact, *_) = plans_of(card, component, [size]).engines[0].profiles[1:] or (None,)
        if exact is not None and not any(
            all(least <= exact.sizes[name][0] <= most for name, (least, most) in profile.sizes.items())
            for profile in plans.engines[0].profiles
        ):
            return False
    return True


def why_not(card: ModelCard, width: int, height: int, frames: int) -> str | None:
    try:
        resolve(parse({"prompt": "a cat", "width": width, "height": height, "num_frames": frames}), card)
    except InvalidRequest as error:
        return error.message
    return None


@pytest.mark.parametrize("more", [(), (VideoSize(128, 96, 17),), (VideoSize(48, 160, 5),)])
def test_what_a_video_s_card_allows_an_engine_takes_and_nothing_less(more: Sequence[VideoSize]) -> None:
    limits = limits_of(VIDEOS, *more)
    card = limits.narrow(VIDEOS)
    for width in range(16, 193, 16):
        for height in range(16, 193, 48):
            for frames in (1, 5, 9, 17, 21):
                refusal = why_not(card, width, height, frames)
                assert takes(limits, card, VideoSize(width, height, frames)) == (refusal is None), refusal
                assert refusal is None or "the TensorRT engines of this server were built for no more" in refusal


def test_the_numbers_and_their_fields() -> None:
    card = limits_of(VIDEOS, VideoSize(128, 96, 17)).narrow(VIDEOS)
    assert (card.limits.max_side, card.limits.max_frames) == (128, 17)
    assert set(card.limits.of_engines) == {"max_side", "max_frames"}
    for field, value, most in (("width", 144, "at most 128, got 144"), ("num_frames", 21, "at most 17 frames, got 21")):
        with pytest.raises(InvalidRequest, match=most) as refused:
            resolve(parse({"prompt": "a cat", field: value}), card)
        assert refused.value.field == field
    assert resolve(parse({"prompt": "a cat"}), card).width == VIDEOS.defaults.width


def test_images_have_as_many_pixels_as_the_engine_has_tokens() -> None:
    limits = limits_of(IMAGES, VideoSize(128, 96))
    card = limits.narrow(IMAGES)
    assert (card.limits.max_side, card.limits.max_pixel_frames) == (128, 128 * 96)
    resolve(parse({"prompt": "a cat", "width": 96, "height": 128}), card)
    with pytest.raises(InvalidRequest, match=r"at most 12,288, got 128 \* 112 \* 1 = 14,336: the TensorRT engines"):
        resolve(parse({"prompt": "a cat", "width": 128, "height": 112}), card)


def test_engines_never_allow_more_than_the_model() -> None:
    small = model_card(limits=model_card().limits.model_copy(update={"max_side": 64, "max_frames": 9}))
    card = limits_of(small, VideoSize(128, 96, 17)).narrow(small)
    assert card == small


def test_without_engines_and_with_those_of_before_nothing_changes() -> None:
    assert EngineLimits().narrow(VIDEOS) == VIDEOS
    plans = plans_of(VIDEOS, "transformer", [default_size(VIDEOS)])
    older = EnginePlans.model_validate_json(
        plans.model_dump_json(exclude={"engines": {"__all__": {"profiles": {"__all__": {"sizes"}}}}})
    )
    limits = EngineLimits({"transformer": older})
    assert limits.narrow(VIDEOS) == VIDEOS
    assert (limits.rows, limits.adapter_ranks) == ({}, {})


def test_rows_and_ranks_of_transformers() -> None:
    limits = limits_of(VIDEOS, batch=3, rank=16)
    assert (limits.rows, limits.adapter_ranks) == ({"transformer": 3}, {"transformer": 16})
    assert limits_of(VIDEOS, rank=0).adapter_ranks == {"transformer": 0}


@pytest.mark.parametrize("tokens", [4, 512])
def test_engines_for_prompts_of_another_length_are_built_again(tokens: int) -> None:
    """Wan's prompts are filled up to the length that the card says."""
    limits = limits_of(VIDEOS)
    card = VIDEOS.model_copy(update={"max_sequence_length": tokens})
    with pytest.raises(
        ValueError, match=rf"of toy-wan-ti2v have {tokens}: build them again with `python -m export\.eng"
    ):
        limits.narrow(card)


def test_a_served_checkpoint_has_the_limits_of_its_engines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "one").mkdir()
    VIDEOS.write(tmp_path / "one")
    monkeypatch.setitem(FAMILIES, VIDEOS.family, lambda *parts: SimpleNamespace(card=VIDEOS))
    pipelines = Pipelines(
        tmp_path, None, None, cache=ConditionCache(0), engine_limits=lambda card: limits_of(card)  # type: ignore[arg-type]
    )  # fmt: skip
    pipelines.take_in("one", *pipelines.open("one"))
    assert [card.limits.max_side for card in pipelines.cards] == [64]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One whose transformer has an engine that fits this machine, and whose VAE has none."""
    for variable in ("TRITONREEL_ENGINE", "TRITONREEL_DEVICE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(placement, "find_gpu", lambda index: Gpu(index, "GPU", "8.9", 2**34))
    monkeypatch.setattr(placement, "version", lambda package: "2.13.0")
    monkeypatch.setattr(placement, "load", lambda name: SimpleNamespace(name=name, version="1"))
    monkeypatch.setattr(placement, "has_cuda_provider", lambda: True)
    version = tmp_path / VIDEOS.components.transformer / "1"
    version.mkdir(parents=True)
    plans_of(VIDEOS, "transformer", [default_size(VIDEOS)]).write(version)
    (version / "model.plan").touch()
    configure(tmp_path)
    return tmp_path


def configure(repository: Path, **parameters: str) -> None:
    written = [
        f'parameters [ {{ key: "{key}" value: {{ string_value: {json.dumps(value)} }} }} ]'
        for key, value in parameters.items()
    ]
    lines = ['backend: "engine"  # with a comment', *written]
    (repository / VIDEOS.components.transformer / "config.pbtxt").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("parameters", "variable", "is_limited"),
    [
        ({}, None, True),
        ({"engine": "tensorrt", "device": "cuda:1"}, None, True),
        ({"engine": "onnxruntime"}, None, False),
        ({"device": "cpu"}, None, False),
        ({"engine": "onnxruntime"}, ("TRITONREEL_ENGINE", "tensorrt"), True),
        ({}, ("TRITONREEL_DEVICE", "cpu"), False),
    ],
)
def test_only_engines_that_are_run_count(
    parameters: dict[str, str],
    variable: tuple[str, str] | None,
    is_limited: bool,
    repository: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure(repository, **parameters)
    if variable is not None:
        monkeypatch.setenv(*variable)
    assert set(EngineLimits.here(repository, VIDEOS).plans) == ({"transformer"} if is_limited else set())


def test_engines_of_another_gpu_do_not_count(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "find_gpu", lambda index: Gpu(index, "GPU", "12.0", 2**34))
    assert not EngineLimits.here(repository, VIDEOS).plans


def test_what_is_asked_of_a_model(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = repository / VIDEOS.components.transformer
    assert asked_for(model) == (EngineName.AUTO, None)
    configure(repository, engine="onnxruntime", device="cuda:1")
    assert asked_for(model) == (EngineName.ONNXRUNTIME, Device("cuda", 1))
    monkeypatch.setenv("TRITONREEL_DEVICE", "cpu")
    assert asked_for(model) == (EngineName.ONNXRUNTIME, CPU)
    (model / "config.pbtxt").write_text("parameters [")
    with pytest.raises(ValueError, match=r"config\.pbtxt: "):
        asked_for(model)
