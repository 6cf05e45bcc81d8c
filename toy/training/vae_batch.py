"""Batches of drawn clips for the autoencoder: float32 [batch, RGB, frames, height, width], -1..1."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from toy.world.draw import draw, draw_varied
from toy.world.scene import sample_scene

_CROP_TRIES = 3


@dataclass(frozen=True)
class ClipShape:
    """One kind of batch: how many clips, of which size; `crop` takes that size out of a clip of 64x64."""

    share: float
    batch: int
    frames: int
    width: int = 64
    height: int = 64
    crop: bool = False


CLIP_SHAPES: Sequence[ClipShape] = (
    ClipShape(0.40, 2, 9),
    ClipShape(0.10, 1, 17),
    ClipShape(0.05, 2, 5, width=96),
    ClipShape(0.05, 2, 5, height=96),
    ClipShape(0.25, 4, 9, 32, 32, crop=True),
    ClipShape(0.15, 8, 5, 32, 32, crop=True),
)
"""Crops are cheap and full of edges; whole clips teach the frame's borders and the attention over a frame."""


def frame_batch(rng: np.random.Generator, batch: int, size: int = 64) -> Tensor:
    """Single frames [batch, RGB, 1, size, size] of varied clips, mirrored and recoloured at random."""
    frames = [_mirror(rng, draw_varied(rng, size, size, 1)) for _ in range(batch)]
    return to_tensor(frames).contiguous(memory_format=torch.channels_last_3d)


def clip_batch(rng: np.random.Generator, scene_share: float) -> Tensor:
    """Clips of one of `CLIP_SHAPES`: varied ones, and in `scene_share` of the cases scenes as they are."""
    shares = [shape.share for shape in CLIP_SHAPES]
    shape = CLIP_SHAPES[rng.choice(len(CLIP_SHAPES), p=shares)]
    return to_tensor([_clip(rng, shape, scene_share) for _ in range(shape.batch)])


def scene_batch(rng: np.random.Generator, batch: int, *, width: int = 64, height: int = 64, frames: int = 9) -> Tensor:
    """Scenes as they are."""
    return to_tensor([draw(sample_scene(rng), width, height, frames) for _ in range(batch)])


def to_tensor(clips: Sequence[NDArray[np.float32]]) -> Tensor:
    """float32 [batch, RGB, frames, height, width], -1..1, of clips [frames, height, width, RGB], 0..1."""
    stacked = np.stack(clips).transpose(0, 4, 1, 2, 3)
    return torch.from_numpy(np.ascontiguousarray(stacked, np.float32)) * 2 - 1


def _clip(rng: np.random.Generator, shape: ClipShape, scene_share: float) -> NDArray[np.float32]:
    width, height = (64, 64) if shape.crop else (shape.width, shape.height)
    if rng.random() < scene_share:
        clip = draw(sample_scene(rng), width, height, shape.frames)
    else:
        clip = draw_varied(rng, width, height, shape.frames)
    return _busiest_crop(rng, clip, shape.width, shape.height) if shape.crop else clip


def _busiest_crop(rng: np.random.Generator, clip: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    crops = []
    for _ in range(_CROP_TRIES):
        top = rng.integers(clip.shape[1] - height + 1)
        left = rng.integers(clip.shape[2] - width + 1)
        crops.append(clip[:, top : top + height, left : left + width])
    return max(crops, key=lambda crop: float(crop.std()))


def _mirror(rng: np.random.Generator, clip: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (int(step) for step in rng.choice((-1, 1), size=2))
    channels = rng.permutation(3) if rng.random() < 0.5 else np.arange(3)
    return clip[:, ::rows, ::columns, channels]
