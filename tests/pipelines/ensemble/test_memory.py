"""What jobs need of memory is estimated as high as it is, and not much higher."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pipelines.ensemble.memory import MemoryBudget, MemoryEstimate, MemoryNeed, available_bytes, vae_bytes
from protocol.model_card import MemoryUse, ModelCard
from protocol.resolve import parse, resolve
from runtime.bands import BandPlan
from tests.conftest import ROOT, Exported
from tests.model_cards import model_card
from tests.runtime.test_bands import PLAN

MIB = 2**20
NOISE = 24 * MIB
"""of the process: code that is touched first, the heap's own"""


def taken(folder: Path, step: int = 1, **shapes: list[int]) -> int:
    """Bytes, measured."""
    command = [sys.executable, "-m", "tests.pipelines.call_memory", str(folder), json.dumps(shapes), str(step)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=True)
    return int(done.stdout)


def estimate_of(vae: Path, height: int, width: int, frames: int) -> int:
    """Bytes, as they are counted for admission."""
    return sum(vae_bytes(BandPlan.read(vae), height, width, frames))


def assert_estimates(estimate: int, measured: int) -> None:
    assert measured <= estimate + NOISE, f"{measured / MIB:.0f} MiB taken, {estimate / MIB:.0f} estimated"
    assert estimate <= 2.5 * measured + NOISE, f"{measured / MIB:.0f} MiB taken, {estimate / MIB:.0f} estimated"


@pytest.fixture(scope="module")
def toy_card(toy: Exported) -> ModelCard:
    return ModelCard.read(toy.repository / "generate" / "1" / "wan_t2v")


@pytest.mark.parametrize(("rows", "frames", "height", "width"), [(2, 3, 32, 32), (1, 5, 48, 60)])
def test_a_step(toy: Exported, toy_card: ModelCard, rows: int, frames: int, height: int, width: int) -> None:
    assert toy_card.memory is not None
    text = json.loads((toy.checkpoint / "transformer" / "config.json").read_text())["text_dim"]
    measured = taken(
        toy.repository / toy_card.components.transformer / "1",
        hidden_states=[rows, 16, frames, height, width],
        timestep=[rows],
        encoder_hidden_states=[rows, 512, text],
    )
    tokens = frames * (height // 2) * (width // 2) + 512
    assert_estimates(rows * tokens * toy_card.memory.step_per_token, measured)


@pytest.mark.parametrize(
    ("layout", "model", "latents"),
    [
        ("two-experts", "wan_vae", [16, 1, 64, 64]),
        ("two-experts", "wan_vae", [16, 3, 30, 52]),
        pytest.param("two-experts", "wan_vae", [16, 3, 90, 160], marks=pytest.mark.long),
        ("ti2v", "wan_ti2v_vae", [48, 1, 48, 48]),
        ("ti2v", "wan_ti2v_vae", [48, 3, 20, 32]),
        ("qwen-image", "qwen_image_vae", [16, 1, 96, 96]),
        pytest.param("qwen-image", "qwen_image_vae", [16, 1, 256, 256], marks=pytest.mark.long),
    ],
)
def test_decoding(tiny: Callable[[str], Exported], layout: str, model: str, latents: list[int]) -> None:
    folder = tiny(layout).repository / model / "1"
    _, frames, height, width = latents
    assert_estimates(estimate_of(folder, height, width, frames), taken(folder, latents=[1, *latents]))


@pytest.mark.parametrize(
    ("frames", "height", "width"), [(1, 96, 96), (2, 60, 104), pytest.param(1, 256, 256, marks=pytest.mark.long)]
)
def test_encoding(tiny: Callable[[str], Exported], frames: int, height: int, width: int) -> None:
    folder = tiny("i2v").repository / "wan_vae_encoder" / "1"
    pixels = [1, 3, (frames - 1) * 4 + 1, 8 * height, 8 * width]
    assert_estimates(estimate_of(folder, height, width, frames), taken(folder, step=4, frames=pixels))


def need(card: ModelCard, **fields: Any) -> MemoryNeed:
    estimate = MemoryEstimate(max_step_rows=4, max_step_elements=10_000, plans={"wan_vae": PLAN})
    return estimate.of(resolve(parse({"prompt": "a", **fields}), card), card)


def test_rows_of_small_videos_share_a_call_and_those_of_large_ones_do_not() -> None:
    card = model_card(memory=MemoryUse(text=1000, step_per_token=10))
    # latents of 3 frames of 6 x 8, patches of 2 x 2, and 8 tokens of text
    small = need(card)
    assert small.calls == {
        "wan_text_encoder": 1000,
        "wan_t2v_transformer": 4 * (3 * 3 * 4 + 8) * 10,
        "wan_t2v_transformer_2": 4 * (3 * 3 * 4 + 8) * 10,
        "wan_vae": vae_bytes(PLAN, 6, 8, frames=3)[0],
    }
    large = need(card, width=256, height=256, num_frames=161)
    assert large.calls["wan_t2v_transformer"] == (41 * 16 * 16 + 8) * 10
    assert large.held > 20 * small.held


def test_a_vae_on_a_gpu_takes_what_its_own_precision_takes() -> None:
    def calls(**precisions: Any) -> Mapping[str, int]:
        card = model_card(memory=MemoryUse(text=1000, step_per_token=10), **precisions)
        estimate = MemoryEstimate(max_step_rows=4, max_step_elements=10_000, plans={"wan_vae": PLAN}, on_gpu=True)
        return estimate.of(resolve(parse({"prompt": "a"}), card), card).calls

    full, half = calls(), calls(precision="bfloat16")
    mixed = calls(precision="bfloat16", vae_precision="float32")
    assert mixed == {**half, "wan_vae": full["wan_vae"]}
    assert {model: 2 * size for model, size in half.items()} == pytest.approx(full, abs=1)


def test_a_lone_frame_holds_no_caches() -> None:
    card = model_card(memory=MemoryUse(text=0, step_per_token=0))
    assert need(card, num_frames=9).held > need(card, num_frames=1).held + PLAN.held_bytes(6, 8)


def test_nothing_is_refused_for_models_of_which_nothing_is_known() -> None:
    assert need(model_card(), width=256, height=256).total == 0


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({"memory.max": "5000000", "memory.current": "1000000"}, 4_000_000),
        ({"memory.max": "1000", "memory.current": "5000"}, 0),
        ({"memory/memory.limit_in_bytes": "9000", "memory/memory.usage_in_bytes": "2000"}, 7000),
    ],
)
def test_a_container_has_what_its_limit_leaves(tmp_path: Path, files: dict[str, str], left: int) -> None:
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    assert available_bytes(tmp_path) == left


def test_a_machine_without_a_limit_has_what_it_has(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("max\n")
    (tmp_path / "memory.current").write_text("5\n")
    assert available_bytes(tmp_path) > 100 * MIB
    assert MemoryBudget(None).bytes < available_bytes()
    assert MemoryBudget(77).bytes == 77


def test_what_weights_will_take_that_are_not_loaded_yet_is_none_of_the_jobs() -> None:
    everything = MemoryBudget(None).bytes
    assert MemoryBudget(None, lambda: everything // 2).bytes < 0.75 * everything
    assert MemoryBudget(None, lambda: 2 * everything).bytes == 0
    assert MemoryBudget(77, lambda: 50).bytes == 77, "who sets it has thought of that"
