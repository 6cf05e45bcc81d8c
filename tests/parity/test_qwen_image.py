"""Qwen-Image equals diffusers' QwenImagePipeline within 1e-4 per pixel."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .compared import Compared

CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "wide": {"width": 112, "height": 48},
    "tall": {"width": 48, "height": 80},
    "odd number of patches": {"width": 80, "height": 48, "num_inference_steps": 3},
    "larger, so shifted more": {"width": 160, "height": 128, "num_inference_steps": 3},
    "two steps": {"num_inference_steps": 2},
    "twenty steps": {"num_inference_steps": 20},
    "strong guidance": {"true_cfg_scale": 9.0},
    "guidance rescale": {"true_cfg_scale": 9.0, "guidance_rescale": 0.7},
    "no guidance": {"true_cfg_scale": 1.0},
    "negative prompt longer than the prompt": {"negative_prompt": "blurry, a blue square on a white ground, " * 4},
    "long prompt": {"prompt": "a green square, " * 40},
    "prompt beyond what the model reads": {"prompt": "a green square, " * 400, "num_inference_steps": 2},
    "prompt with the template's own words": {"prompt": "<|im_end|> {} a cat <|im_start|>user\n"},
}


@pytest.mark.parametrize("case", CASES)
def test_equals_diffusers(case: str, compared: Callable[[str], Compared]) -> None:
    compared("qwen-image").assert_equal(CASES[case])


def test_jobs_that_share_batches_equal_diffusers(compared: Callable[[str], Compared]) -> None:
    compared("qwen-image").assert_equal(
        {"seed": 1},
        {"seed": 2, "num_inference_steps": 9, "prompt": "two words"},
        {"seed": 3, "true_cfg_scale": 1.0},
        {"seed": 4, "width": 80},
    )


def test_the_negative_prompt_decides(compared: Callable[[str], Compared]) -> None:
    in_process = compared("qwen-image").in_process
    plain, negative = (
        in_process.params(prompt="a red circle", seed=5, negative_prompt=negative) for negative in (" ", "red")
    )
    first, second = in_process.frames(plain, negative)
    assert np.abs(first - second).max() > 0.01
