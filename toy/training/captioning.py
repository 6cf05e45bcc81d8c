"""What the model is told about a video in training: a fresh caption at every step, at times nothing."""

import numpy as np

from toy.training.latents import Batch
from toy.world.captions import caption, still_caption

_NOTHING = 0.10
"""the share of empty captions, without which there is no guidance"""


def captions_of(batch: Batch, rng: np.random.Generator) -> list[str]:
    """A caption for each video or image of the batch."""
    write = caption if batch.moves else still_caption
    return ["" if rng.random() < _NOTHING else write(scene, rng) for scene in batch.scenes]
