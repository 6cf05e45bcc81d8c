"""What a video shows, told from its pixels alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from toy.world.palette import BACKGROUND_RGB, COLOUR_RGB, RGB
from toy.world.scene import SHAPES, Background, Colour, Motion, Shape
from toy.world.shapes import distance

Pixels = NDArray[np.float32]

_FARTHEST_COLOUR = 0.35
_FAINTEST = 0.25
_SMALLEST = 0.01
_PLAIN = 0.6
_FEWEST_FRAMES = 0.75
_POOREST_FIT = 0.6
# The least changes of a drawn video: 0.27 short sides, and a radius times 2.07, whose logarithm is 0.73.
_TRAVEL, _GROWTH = 0.27, 0.73
_STILL = 0.4
_STRAY = 0.5

Name = TypeVar("Name", bound=str)


@dataclass(frozen=True)
class Seen:
    """What a video shows; None where it is nothing of the toy world."""

    shape: Shape | None
    colour: Colour | None
    motion: Motion | None
    background: Background | None


def detect(frames: NDArray[Any]) -> Seen:
    """What `frames`, uint8 or float 0..1 [frames, height, width, RGB], show. A lone frame stands still."""
    pixels = frames.astype(np.float32) / (255 if frames.dtype == np.uint8 else 1)
    ground, background = _ground(pixels)
    colour_rgb = _foreground(pixels, ground)
    if colour_rgb is None:
        return Seen(None, None, None, background)
    cover = _cover(pixels, ground, colour_rgb)
    areas = cover.sum((1, 2))
    visible = areas > _SMALLEST * cover[0].size
    if not visible.any():
        return Seen(None, None, None, background)
    colour = _nearest(colour_rgb, COLOUR_RGB)
    motion = _motion(cover, areas, visible) if visible.mean() >= _FEWEST_FRAMES else None
    return Seen(_shape(cover[visible], areas[visible]), colour, motion, background)


def _ground(pixels: Pixels) -> tuple[Pixels, Background | None]:
    """The colour of most of the frames' edges, [RGB], and its name if it is plain."""
    edges = [pixels[:, 0], pixels[:, -1], pixels[:, :, 0], pixels[:, :, -1]]
    border = np.concatenate([edge.reshape(-1, 3) for edge in edges])
    ground: Pixels = np.median(border, axis=0)
    alike = np.linalg.norm(border - ground, axis=-1) < _FAINTEST
    return ground, _nearest(ground, BACKGROUND_RGB) if alike.mean() > _PLAIN else None


def _foreground(pixels: Pixels, ground: Pixels) -> Pixels | None:
    """The colour of what differs from the ground, [RGB], or None where nothing does."""
    contrast = np.linalg.norm(pixels - ground, axis=-1)
    strongest = np.quantile(contrast, 0.99)
    if strongest < _FAINTEST:
        return None
    colour: Pixels = np.median(pixels[contrast > 0.7 * strongest], axis=0)
    return colour


def _nearest(colour: Pixels, palette: Mapping[Name, RGB]) -> Name | None:
    far = {name: float(np.linalg.norm(colour - np.array(rgb))) for name, rgb in palette.items()}
    name = min(far, key=far.__getitem__)
    return name if far[name] < _FARTHEST_COLOUR else None


def _cover(pixels: Pixels, ground: Pixels, colour: Pixels) -> Pixels:
    """How much of each pixel the shape covers, [frames, height, width] in 0..1; steep, so that noise does not count."""
    axis = colour - ground
    share = (pixels - ground) @ axis / (axis @ axis)
    return np.clip(2 * share - 0.5, 0, 1)


def _motion(cover: Pixels, areas: Pixels, visible: NDArray[np.bool_]) -> Motion | None:
    """By straight lines through the centres and sizes of all frames."""
    if len(cover) == 1:
        return "still"
    time = np.linspace(0, 1, len(cover))[visible]
    height, width = cover.shape[1:]
    short = min(width, height)
    x, y = (centre[visible] / short for centre in _centres(cover, areas))
    right, down = np.polyfit(time, x, 1)[0] / _TRAVEL, np.polyfit(time, y, 1)[0] / _TRAVEL
    growth = np.polyfit(time, np.log(areas[visible]) / 2, 1)[0] / _GROWTH
    changes: dict[tuple[Motion, Motion], float] = {
        ("right", "left"): right,
        ("down", "up"): down,
        ("growing", "shrinking"): growth,
    }
    (forth, back), strongest = max(changes.items(), key=lambda change: abs(change[1]))
    if abs(strongest) < _STILL:
        return "still"
    if sorted(map(abs, changes.values()))[-2] > max(_STILL, _STRAY * abs(strongest)):
        return None
    return forth if strongest > 0 else back


def _centres(cover: Pixels, areas: Pixels) -> tuple[Pixels, Pixels]:
    """Centres of mass, x and y [frames] in pixels; anything where nothing is."""
    height, width = cover.shape[1:]
    mass = np.maximum(areas, 1)
    x = cover.sum(1) @ (np.arange(width, dtype=np.float32) + 0.5) / mass
    y = cover.sum(2) @ (np.arange(height, dtype=np.float32) + 0.5) / mass
    return x, y


def _shape(cover: Pixels, areas: Pixels) -> Shape | None:
    """The shape that overlaps best, placed by centre of mass and area: the highest mean intersection over union."""
    height, width = cover.shape[1:]
    centre_x, centre_y = _centres(cover, areas)
    columns = np.arange(width, dtype=np.float32) + 0.5 - centre_x[:, None]
    rows = np.arange(height, dtype=np.float32) + 0.5 - centre_y[:, None]
    fits = {}
    for shape in SHAPES:
        unit_area, unit_y = _unit(shape)
        radius = np.sqrt(areas / unit_area).astype(np.float32)
        y = rows + unit_y * radius[:, None]
        inside = -distance(shape, columns[:, None, :], y[:, :, None], radius[:, None, None])
        ideal = np.clip(inside + 0.5, 0, 1)
        overlap = np.minimum(ideal, cover).sum((1, 2)) / np.maximum(ideal, cover).sum((1, 2))
        fits[shape] = float(overlap @ areas / areas.sum())
    best = max(fits, key=fits.__getitem__)
    return best if fits[best] > _POOREST_FIT else None


def _unit(shape: Shape) -> tuple[float, float]:
    """Area, and y of the centre of mass, of a shape of radius 1."""
    grid = np.linspace(-1.25, 1.25, 101, dtype=np.float32)
    inside = distance(shape, grid[None, :], grid[:, None], np.ones((1, 1), np.float32)) < 0
    cell = (grid[1] - grid[0]) ** 2
    return float(inside.sum() * cell), float(inside.sum(1) @ grid / inside.sum())
