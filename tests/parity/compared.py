"""A checkpoint in both implementations, ours and diffusers'."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.ensemble.in_process import InProcess
from tests.conftest import Exported

from .references import open_reference

TOLERANCE = 1e-4
"""of a pixel, 0..1"""

PROMPT = "a red circle moving right on a black background"


class Compared:
    """Makes the same videos or images with both."""

    def __init__(self, exported: Exported) -> None:
        self.in_process = InProcess(exported.repository, exported.model)
        self.reference = open_reference(exported.checkpoint)

    def assert_equal(self, *requests: dict[str, Any]) -> None:
        """Make these at the same time, and compare each with diffusers'.

        A request changes what the default request leaves to the model.
        """
        jobs = [self.in_process.params(**{"prompt": PROMPT, "seed": 7, **request}) for request in requests]
        for params, made in zip(jobs, self.in_process.frames(*jobs), strict=True):
            expected = self.reference.frames(params, self.in_process.card.max_sequence_length)
            assert made.shape == expected.shape
            assert float(np.abs(made - expected).max()) <= TOLERANCE
            assert float(expected.std()) > 0.01, "the reference shows nothing, so the comparison says nothing"


def random_image(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """An image to start a video from: uint8 [height, width, 3], every pixel its own colour."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
