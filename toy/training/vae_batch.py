"""Batches of drawn videos for the autoencoder: float32 [batch, RGB, frames, height, width], -1..1."""

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
class VideoShape:
    """One kind of batch: how many videos, of which size; `crop` takes that size out of a video of 64x64."""

    share: float
    batch: int
    frames: int
    width: int = 64
    height: int = 64
    crop: bool = False


VIDEO_SHAPES: Sequence[VideoShape] = (
    VideoShape(0.40, 2, 9),
    VideoShape(0.10, 1, 17),
    VideoShape(0.05, 2, 5, width=96),
    VideoShape(0.05, 2, 5, height=96),
    VideoShape(0.25, 4, 9, 32, 32, crop=True),
    VideoShape(0.15, 8, 5, 32, 32, crop=True),
)
"""Crops are cheap and full of edges; whole videos teach the frame's borders and the attention over a frame."""


def frame_batch(rng: np.random.Generator, batch: int, size: int = 64) -> Tensor:
    """Single frames [batch, RGB, 1, size, size] of varied videos, mirrored and recoloured at random."""
    frames = [_mirror(rng, draw_varied(rng, size, size, 1)) for _ in range(batch)]
    return to_tensor(frames).contiguous(memory_format=torch.channels_last_3d)


def video_batch(rng: np.random.Generator, scene_share: float) -> Tensor:
    """Videos of one of `VIDEO_SHAPES`: varied ones, and in `scene_share` of the cases scenes as they are."""
    shares = [shape.share for shape in VIDEO_SHAPES]
    shape = VIDEO_SHAPES[rng.choice(len(VIDEO_SHAPES), p=shares)]
    return to_tensor([_video(rng, shape, scene_share) for _ in range(shape.batch)])


def scene_batch(rng: np.random.Generator, batch: int, *, width: int = 64, height: int = 64, frames: int = 9) -> Tensor:
    """Scenes as they are."""
    return to_tensor([draw(sample_scene(rng), width, height, frames) for _ in range(batch)])


def to_tensor(videos: Sequence[NDArray[np.float32]]) -> Tensor:
    """float32 [batch, RGB, frames, height, width], -1..1, of videos [frames, height, width, RGB], 0..1."""
    stacked = np.stack(videos).transpose(0, 4, 1, 2, 3)
    return torch.from_numpy(np.ascontiguousarray(stacked, np.float32)) * 2 - 1


def _video(rng: np.random.Generator, shape: VideoShape, scene_share: float) -> NDArray[np.float32]:
    width, height = (64, 64) if shape.crop else (shape.width, shape.height)
    if rng.random() < scene_share:
        video = draw(sample_scene(rng), width, height, shape.frames)
    else:
        video = draw_varied(rng, width, height, shape.frames)
    return _busiest_crop(rng, video, shape.width, shape.height) if shape.crop else video


def _busiest_crop(rng: np.random.Generator, video: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
    crops = []
    for _ in range(_CROP_TRIES):
        top = rng.integers(video.shape[1] - height + 1)
        left = rng.integers(video.shape[2] - width + 1)
        crops.append(video[:, top : top + height, left : left + width])
    return max(crops, key=lambda crop: float(crop.std()))


def _mirror(rng: np.random.Generator, video: NDArray[np.float32]) -> NDArray[np.float32]:
    rows, columns = (int(step) for step in rng.choice((-1, 1), size=2))
    channels = rng.permutation(3) if rng.random() < 0.5 else np.arange(3)
    return video[:, ::rows, ::columns, channels]
