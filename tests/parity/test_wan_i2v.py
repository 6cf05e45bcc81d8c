"""Wan image-to-video with 36 channels equals diffusers' WanImageToVideoPipeline within 1e-4 per pixel."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .compared import Compared, random_image


def starting_from(width: int, height: int, image_seed: int = 0, **fields: Any) -> dict[str, Any]:
    return {"width": width, "height": height, "image": random_image(width, height, image_seed), **fields}


CASES: dict[str, dict[str, Any]] = {
    "defaults": starting_from(64, 48),
    "tall and longer": starting_from(48, 80, num_frames=17),
    "one frame": starting_from(64, 48, num_frames=1, num_inference_steps=3),
    "euler": starting_from(64, 48, solver="euler", flow_shift=8.0),
    "no guidance": starting_from(64, 48, guidance_scale=1.0),
    "guidance pair": starting_from(64, 48, guidance_scale=5.0, guidance_scale_2=2.0),
    "boundary 0": starting_from(64, 48, boundary_ratio=0.0),
    "boundary 1": starting_from(64, 48, boundary_ratio=1.0),
    "negative prompt": starting_from(64, 48, negative_prompt="blurry, a blue square"),
}


@pytest.mark.parametrize("case", CASES)
def test_equals_diffusers(case: str, compared: Callable[[str], Compared]) -> None:
    compared("i2v").assert_equal(CASES[case])


def test_jobs_that_share_batches_equal_diffusers(compared: Callable[[str], Compared]) -> None:
    compared("i2v").assert_equal(
        starting_from(64, 48, 1, seed=1),
        starting_from(64, 48, 2, seed=1, num_inference_steps=9),
        starting_from(64, 48, 3, seed=2, guidance_scale=1.0),
    )


def test_the_image_decides(compared: Callable[[str], Compared]) -> None:
    in_process = compared("i2v").in_process
    one, other = (
        in_process.params(prompt="a red circle", seed=5, num_inference_steps=2, **starting_from(64, 48, image_seed))
        for image_seed in (1, 2)
    )
    first, second = in_process.frames(one, other)
    assert np.abs(first - second).max() > 0.01
