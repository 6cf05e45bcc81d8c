"""Wan with per-token timesteps equals diffusers within 1e-4 per pixel: from a text WanPipeline, with an image
WanImageToVideoPipeline."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from .compared import Compared, random_image

CASES: dict[str, dict[str, Any]] = {
    "text": {},
    "text, wide and longer": {"width": 96, "num_frames": 17},
    "text, one frame": {"num_frames": 1, "num_inference_steps": 3},
    "text, euler": {"solver": "euler", "flow_shift": 8.0},
    "text, no guidance": {"guidance_scale": 1.0},
    "image": {"image": random_image(64, 64)},
    "image, tall and longer": {"height": 96, "num_frames": 17, "image": random_image(64, 96)},
    "image, one frame": {"num_frames": 1, "num_inference_steps": 3, "image": random_image(64, 64)},
    "image, euler": {"solver": "euler", "image": random_image(64, 64)},
    "image, no guidance": {"guidance_scale": 1.0, "image": random_image(64, 64)},
    "image, negative prompt": {"negative_prompt": "blurry, a blue square", "image": random_image(64, 64)},
}


@pytest.mark.parametrize("case", CASES)
def test_equals_diffusers(case: str, compared: Callable[[str], Compared]) -> None:
    compared("ti2v").assert_equal(CASES[case])


def test_texts_and_images_that_share_batches_equal_diffusers(compared: Callable[[str], Compared]) -> None:
    compared("ti2v").assert_equal(
        {"seed": 1}, {"seed": 1, "image": random_image(64, 64, 1)}, {"seed": 2, "image": random_image(64, 64, 2)}
    )


def test_the_video_starts_from_the_image(compared: Callable[[str], Compared]) -> None:
    """Latent frame 0 is the image's own, so frame 0 depends on nothing else."""
    in_process = compared("ti2v").in_process
    one, other, elsewhere = (
        in_process.params(
            prompt="a red circle", seed=seed, num_inference_steps=2, image=random_image(64, 64, image_seed)
        )
        for seed, image_seed in ((1, 1), (2, 1), (1, 2))
    )
    first, second, third = in_process.frames(one, other, elsewhere)
    np.testing.assert_allclose(first[0], second[0], atol=1e-6)
    assert np.abs(first[1:] - second[1:]).max() > 0.01
    assert np.abs(first[0] - third[0]).max() > 0.01
