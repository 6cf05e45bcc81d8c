"""Wan text-to-video in this process equals diffusers' WanPipeline within 1e-4 per pixel, on a 0-1 scale."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.conftest import Exported

from .compared import Compared

LAYOUTS = ["two-experts", "one-expert"]

# Each case changes what the default request leaves to the model.
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "wide": {"width": 96, "height": 48},
    "tall and longer": {"width": 48, "height": 80, "num_frames": 17},
    "one frame": {"num_frames": 1, "num_inference_steps": 3},
    "frames rounded down": {"num_frames": 8},
    "one step": {"num_inference_steps": 1},
    "twenty steps": {"num_inference_steps": 20},
    "euler": {"solver": "euler"},
    "euler, shift 8": {"solver": "euler", "flow_shift": 8.0},
    "unipc, shift 12": {"flow_shift": 12.0},
    "strong guidance": {"guidance_scale": 9.0},
    "no guidance": {"guidance_scale": 1.0},
    "guidance rescale": {"guidance_scale": 9.0, "guidance_rescale": 0.7},
    "negative prompt": {"negative_prompt": "blurry, a blue square"},
    "long prompt": {"prompt": "a green square growing, " * 120},
    "untidy prompt": {"prompt": "  a &amp; b\n\n caf\u00c3\u00a9  "},
}
TWO_EXPERT_CASES: dict[str, dict[str, Any]] = {
    "guidance pair": {"guidance_scale": 5.0, "guidance_scale_2": 2.0},
    "second expert unguided": {"guidance_scale": 5.0, "guidance_scale_2": 1.0},
    "second expert half guided": {"guidance_scale": 5.0, "guidance_scale_2": 0.5},
    "first guidance decides": {"guidance_scale": 1.0, "guidance_scale_2": 5.0},
    "boundary 0.5": {"boundary_ratio": 0.5},
    "boundary 0": {"boundary_ratio": 0.0},
    "boundary 1": {"boundary_ratio": 1.0},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES)
def test_equals_diffusers(case: str, layout: str, compared: Callable[[str], Compared]) -> None:
    compared(layout).assert_equal(CASES[case])


@pytest.mark.parametrize("case", TWO_EXPERT_CASES)
def test_two_experts_equal_diffusers(case: str, compared: Callable[[str], Compared]) -> None:
    compared("two-experts").assert_equal(TWO_EXPERT_CASES[case])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_jobs_that_share_batches_equal_diffusers(layout: str, compared: Callable[[str], Compared]) -> None:
    compared(layout).assert_equal(
        {"seed": 1}, {"seed": 2, "num_inference_steps": 9}, {"seed": 3, "guidance_scale": 1.0}, {"seed": 4, "width": 80}
    )


def test_the_trained_toy_equals_diffusers(toy: Exported) -> None:
    Compared(toy).assert_equal({}, {"negative_prompt": "red", "width": 96})


def test_the_seed_decides(compared: Callable[[str], Compared]) -> None:
    in_process = compared("one-expert").in_process
    first, again, other = (
        in_process.frames(in_process.params(prompt="a red circle", seed=seed, num_inference_steps=2))[0]
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
