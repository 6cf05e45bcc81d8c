"""Videos of the toy world: float32 [frames, height, width, RGB], 0..1."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

from toy.world.palette import BACKGROUND_RGB, COLOUR_RGB
from toy.world.scene import SHAPES, Scene, Shape, sample_scene
from toy.world.shapes import EXTENT, distance

Video = NDArray[np.float32]

_CONDITION_SHARE = 0.12
_SCENE_SHARE = 0.5
_FEWEST_SCENE_FRAMES = 9


def draw(scene: Scene, width: int, height: int, num_frames: int) -> Video:
    """The video of `scene`, float32 [num_frames, height, width, RGB], 0..1. A lone frame is the start."""
    time = np.linspace(0, 1, num_frames)
    short = min(width, height)
    start, end = scene.start, scene.end
    radius = short * _between(start.radius, end.radius, time)
    margin = EXTENT * short * max(start.radius, end.radius)
    x = margin + (width - 2 * margin) * _between(start.x, end.x, time)
    y = margin + (height - 2 * margin) * _between(start.y, end.y, time)
    canvas = _fill(BACKGROUND_RGB[scene.background], width, height, num_frames)
    return _paint(canvas, scene.shape, x, y, radius, COLOUR_RGB[scene.colour])


def draw_varied(rng: np.random.Generator, width: int, height: int, num_frames: int) -> Video:
    """A video from a wider world, for autoencoders; float32 [num_frames, height, width, RGB], 0..1.

    Half show a part of a scene. The others have one to three shapes of any colour, size and velocity, over a plain
    ground or a gradient. In some, only the first frame shows anything and the rest are mid-grey: what the autoencoder
    gets as the condition of image-to-video.
    """
    if rng.random() < _SCENE_SHARE:
        length = max(num_frames, _FEWEST_SCENE_FRAMES * int(rng.integers(1, 3)))
        first = int(rng.integers(length - num_frames + 1))
        video = draw(sample_scene(rng), width, height, length)[first : first + num_frames].copy()
    else:
        video = _draw_any(rng, width, height, num_frames)
    if rng.random() < _CONDITION_SHARE:
        video[1:] = 0.5
    return video


def _draw_any(rng: np.random.Generator, width: int, height: int, num_frames: int) -> Video:
    short = min(width, height)
    time = np.arange(num_frames, dtype=np.float64)
    video = _fill(rng.uniform(size=3), width, height, num_frames)
    if rng.random() < 0.5:
        rows, columns = np.mgrid[:height, :width] / short
        slope_x, slope_y = rng.normal(0, 0.16, size=2)
        video = np.clip(video + (slope_x * columns + slope_y * rows)[..., None], 0, 1).astype(np.float32)
    for _ in range(rng.integers(1, 4)):
        speed_x, speed_y = short * rng.normal(0, 0.06, size=2)
        x = rng.uniform(0, width) + speed_x * time
        y = rng.uniform(0, height) + speed_y * time
        radius = (rng.uniform(0.08, 0.35) + rng.normal(0, 0.015) * time).clip(min=0.05) * float(short)
        video = _paint(video, SHAPES[rng.integers(len(SHAPES))], x, y, radius, rng.uniform(size=3))
    return video


def _between(start: float, end: float, time: NDArray[np.float64]) -> NDArray[np.float64]:
    return start + (end - start) * time


def _fill(colour: ArrayLike, width: int, height: int, num_frames: int) -> Video:
    return np.broadcast_to(np.asarray(colour, np.float32), (num_frames, height, width, 3))


def _paint(
    canvas: Video,
    shape: Shape,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    radius: NDArray[np.float64],
    colour: ArrayLike,
) -> Video:
    """`canvas` with a shape over it whose centre and radius, float64 [frames], are in pixels.

    A pixel takes the share of `colour` that the shape covers of it, told from the distance of its centre to the edge.
    """
    height, width = canvas.shape[1:3]
    columns = np.arange(width, dtype=np.float32) + 0.5 - x.astype(np.float32)[:, None]
    rows = np.arange(height, dtype=np.float32) + 0.5 - y.astype(np.float32)[:, None]
    inside = -distance(shape, columns[:, None, :], rows[:, :, None], radius.astype(np.float32)[:, None, None])
    share = np.clip(inside + 0.5, 0, 1)[..., None]
    painted: Video = canvas + share * (np.asarray(colour, np.float32) - canvas)
    return painted
