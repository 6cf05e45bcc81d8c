"""What fits how: the published checkpoints on the GPUs that people have."""

import pytest

from export.errors import PlanError
from export.options import Precision
from export.plan.gpus import find_gpu
from export.plan.recommendation import recommend
from export.plan.residency import (
    HOST_BYTES,
    Plan,
    Residency,
    SizePlan,
    Verdict,
    choose_precision,
)
from export.plan.shapes import Size
from runtime.gpu import CONTEXT_BYTES, MARGIN, WORKSPACE_BYTES

from .conftest import Planned

RESIDENT, SWAP, STREAM = Residency
SMALL, LARGE = Size(832, 480, 81), Size(1280, 720, 81)


def verdict(size_plan: SizePlan, residency: Residency) -> Verdict:
    return next(each for each in size_plan.verdicts if each.residency is residency)


def best(plan: Plan) -> list[Residency | None]:
    return [size_plan.best.residency if size_plan.best else None for size_plan in plan.sizes]


# 57.3 GB of experts, 11.4 of text encoder and 0.2 of VAE; a step takes 4.2 GB per branch of guidance at 832x480 and 9.1
# at 1280x720, and the reserve is 1.6 to 6 GB
@pytest.mark.parametrize("name", ["Wan2.2-T2V-A14B", "Wan2.2-I2V-A14B"])
@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        ("24GB", [STREAM, STREAM]),
        ("48GB", [SWAP, SWAP]),
        ("80GB", [RESIDENT, SWAP]),
        ("141GB", [RESIDENT, RESIDENT]),
        ("12GB", [STREAM, None]),
        ("6GB", [None, None]),
    ],
)
def test_a14b(planned: Planned, name: str, gpu: str, expected: list[Residency | None]) -> None:
    plan = planned(name, gpu)
    assert [size_plan.size for size_plan in plan.sizes] == [SMALL, LARGE]
    assert best(plan) == expected


# 10 GB of transformer, whose tokens have a timestep each, and a VAE of 0.7 B
@pytest.mark.parametrize(
    ("gpu", "expected"),
    [
        ("24GB", SWAP),
        ("48GB", RESIDENT),
        ("80GB", RESIDENT),
        ("141GB", RESIDENT),
        ("RTX 3060 12GB", STREAM),
        ("8GB", None),
    ],
)
def test_ti2v(planned: Planned, gpu: str, expected: Residency | None) -> None:
    plan = planned("Wan2.2-TI2V-5B", gpu)
    assert [size_plan.size for size_plan in plan.sizes] == [Size(1280, 704, 121)]
    assert best(plan) == [expected]


# 40.9 GB of transformer and 14.1 of language model
@pytest.mark.parametrize(
    ("gpu", "expected"), [("24GB", STREAM), ("48GB", SWAP), ("80GB", RESIDENT), ("141GB", RESIDENT), ("12GB", STREAM)]
)
def test_qwen_image(planned: Planned, gpu: str, expected: Residency) -> None:
    plan = planned("Qwen-Image", gpu)
    assert [size_plan.size for size_plan in plan.sizes] == [Size(1024, 1024), Size(1328, 1328)]
    assert best(plan) == [expected, expected]


def test_the_sum_at_the_peak(planned: Planned) -> None:
    (small, _) = planned("Wan2.2-T2V-A14B", "80GB").sizes
    resident, swap = verdict(small, RESIDENT), verdict(small, SWAP)
    everything = sum(stage.weights for stage in small.stages)
    # two experts, text encoder and VAE, each with its own context, and `generate`
    reserve = 5 * CONTEXT_BYTES + WORKSPACE_BYTES + int(MARGIN * resident.peak.working)
    assert resident.peak.weights == everything == pytest.approx(68.8e9, rel=0.01)
    assert resident.peak.reserve == reserve
    assert resident.peak.total == everything + resident.peak.working + resident.peak.held + reserve
    assert resident.spare == 80 * 10**9 - resident.peak.total
    assert resident.peak.total == max(moment.total for moment in resident.moments)
    assert [moment.stage for moment in swap.moments] == ["text encoder", "transformer", "transformer_2", "VAE decoder"]
    assert [moment.weights for moment in swap.moments] == [stage.weights for stage in small.stages]


def test_guidance_branches_and_bands_as_memory_allows(planned: Planned) -> None:
    """Both branches in a call, and whole frames, where there is room; a verdict is no worse for either."""

    def how(gpu: str, residency: Residency) -> dict[str, str]:
        (plan,) = planned("Wan2.2-TI2V-5B", gpu).sizes
        return {moment.stage: moment.how for moment in verdict(plan, residency).moments}

    assert how("80GB", RESIDENT)["transformer"] == "batch 2"
    assert how("24GB", SWAP)["transformer"] == "batch 1"
    assert how("24GB", SWAP)["VAE decoder"] == "whole"
    assert how("RTX 3060 12GB", STREAM)["VAE decoder"] == "in bands"
    assert how("RTX 3060 12GB", STREAM)["VAE encoder"] == "whole"


def test_the_next_model_loads_while_the_current_one_runs_where_both_fit(planned: Planned) -> None:
    def swap(gpu: str) -> Verdict:
        return verdict(planned("Wan2.2-T2V-A14B", gpu, SMALL).sizes[0], SWAP)

    assert swap("48GB").fits
    assert not swap("48GB").loads_ahead
    assert swap("72GB").loads_ahead


def test_streaming(planned: Planned) -> None:
    """What does not fit beside the activations comes from host memory in each call."""
    plan = planned("Wan2.2-T2V-A14B", "24GB", SMALL)
    stream = verdict(plan.sizes[0], STREAM)
    text_encoder, expert, *_ = stream.moments
    assert text_encoder.streamed_per_step == 0
    # 24 GB less both branches' activations, 8.3 GB, their margin, contexts and latents: room for about half of 28.6 GB
    assert expert.how == "batch 2"
    assert 12e9 < expert.streamed_per_step < 20e9
    assert stream.streamed_per_step == expert.streamed_per_step
    assert stream.seconds_per_step == {
        "PCIe 4.0 x16": pytest.approx(expert.streamed_per_step / 25e9),
        "PCIe 5.0 x16": pytest.approx(expert.streamed_per_step / 50e9),
    }
    assert verdict(planned("Wan2.2-T2V-A14B", "48GB", SMALL).sizes[0], STREAM).streamed_per_step == 0


def test_host_memory(planned: Planned) -> None:
    plan = planned("Wan2.2-T2V-A14B", "141GB", SMALL).sizes[0]
    expert, everything = plan.stages[1].weights, sum(stage.weights for stage in plan.stages)
    assert [verdict(plan, each).host for each in Residency] == 3 * [HOST_BYTES + expert]
    assert verdict(plan, RESIDENT).host_cached == HOST_BYTES + expert
    assert verdict(plan, SWAP).host_cached == verdict(plan, STREAM).host_cached == HOST_BYTES + everything


def test_what_fits_instead(planned: Planned) -> None:
    """Checked by planning it; one frame, or one step in size, more does not fit."""
    plan = planned("Wan2.2-T2V-A14B", "12GB", LARGE)
    shorter, smaller = plan.sizes[0].instead
    assert (shorter.width, shorter.height) == (1280, 720)
    assert smaller.frames == 81
    assert smaller.width / smaller.height == pytest.approx(1280 / 720, rel=0.05)
    assert None not in best(planned("Wan2.2-T2V-A14B", "12GB", shorter, smaller))
    assert best(planned("Wan2.2-T2V-A14B", "12GB", Size(1280, 720, shorter.frames + 4))) == [None]
    assert plan.gpu.name == "12GB"
    text = recommend(plan)
    assert "1280x720 with 81 frames does not fit: it needs " in text
    assert f"{shorter} or {smaller} do." in text


def test_where_nothing_fits(planned: Planned) -> None:
    text = recommend(planned("Wan2.2-T2V-A14B", "2GB", SMALL))
    assert "no smaller size fits either; float8 weights are not offered" in text


@pytest.mark.parametrize(
    ("name", "gpu", "starts", "says"),
    [
        ("Wan2.2-T2V-A14B", "H200", "Use `resident`: keep everything on the GPU.", "to spare at the peak"),
        ("Wan2.2-T2V-A14B", "L40S", "Use `swap`: let models come and go.", "`resident` would need 8"),
        ("Wan2.2-T2V-A14B", "RTX 4090", "Use `stream`: stream weights from", "`swap` would need 4"),
        ("Wan2.2-T2V-A14B", "80GB", "Use `swap`", "`resident` is possible with 832x480 with 81 frames alone."),
        ("Wan2.2-T2V-A14B", "RTX 4090", "Use `stream`", "built with `python -m export.engines --weight-streaming`."),
        ("Qwen-Image", "RTX 4090", "Use `stream`", "1024x1024 and 1328x1328 fit, with up to"),
    ],
)
def test_the_recommendation(planned: Planned, name: str, gpu: str, starts: str, says: str) -> None:
    text = recommend(planned(name, gpu))
    assert text.startswith(starts)
    assert says in text


def test_a_gpu_without_bfloat16_computes_in_float16(planned: Planned) -> None:
    t4 = find_gpu("T4")
    assert choose_precision(t4, None) is Precision.FLOAT16
    with pytest.raises(PlanError, match=r"T4 has no bfloat16, .*: use --precision float16"):
        choose_precision(t4, Precision.BFLOAT16)
    plan = planned("Wan2.2-T2V-A14B", "T4", SMALL)
    text_encoder, expert, *_ = plan.sizes[0].stages
    assert (text_encoder.precision, expert.precision) == (Precision.FLOAT32, Precision.FLOAT16)
    assert text_encoder.weights == 4 * text_encoder.parameters
    assert any("float16" in note and "UMT5" in note for note in plan.notes)


def test_umt5_stays_bfloat16_where_there_is_one(planned: Planned) -> None:
    plan = planned("Wan2.2-T2V-A14B", "H100", SMALL, precision=Precision.FLOAT16)
    assert plan.sizes[0].stages[0].precision is Precision.BFLOAT16
    plan = planned("Qwen-Image", "H100", precision=Precision.FLOAT16)
    assert plan.sizes[0].stages[0].precision is Precision.FLOAT16
    assert any("overflow" in note for note in plan.notes)


def test_float32_takes_twice(planned: Planned) -> None:
    precisions = (Precision.BFLOAT16, Precision.FLOAT32)
    half, full = (planned("Wan2.2-T2V-A14B", "H100", SMALL, precision=each) for each in precisions)
    weights = [sum(stage.weights for stage in each.sizes[0].stages) for each in (half, full)]
    assert weights[1] == pytest.approx(2 * weights[0], rel=0.01)
    assert best(half) == [RESIDENT]
    assert best(full) == [SWAP]


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        ("Wan2.2-T2V-A14B", Size(830, 480, 81), "multiples of 16 pixels"),
        ("Wan2.2-TI2V-5B", Size(1280, 720, 121), "multiples of 32 pixels"),
        ("Wan2.2-T2V-A14B", Size(0, 480, 81), "multiples of 16 pixels"),
        ("Wan2.2-T2V-A14B", Size(832, 480, 80), r"must be 4k \+ 1, such as 77 or 81"),
        ("Wan2.2-T2V-A14B", Size(832, 480, 0), r"must be 4k \+ 1, such as 1 or 5"),
        ("Wan2.2-T2V-A14B", Size(1920, 1088, 81), "more than the model takes: .* may be 74,649,600"),
        ("Qwen-Image", Size(1024, 1024, 5), "makes images; leave it out"),
    ],
)
def test_sizes_that_the_model_does_not_make(planned: Planned, name: str, size: Size, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        planned(name, "H100", size)


def test_more_never_takes_less(planned: Planned) -> None:
    sizes = [Size(832, 480, frames) for frames in (1, 5, 41, 81)]
    needed = [each.needed for each in planned("Wan2.2-T2V-A14B", "24GB", *sizes).sizes]
    assert needed == sorted(needed)
    for gpu in ("16GB", "32GB", "64GB", "96GB"):
        streamed = verdict(planned("Wan2.2-T2V-A14B", gpu, SMALL).sizes[0], STREAM).streamed_per_step
        assert streamed <= 28.6e9
