"""What a video shows, apart from its size and length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Shape = Literal["circle", "square", "triangle", "cross", "ring"]
Colour = Literal["red", "green", "blue", "yellow", "purple", "orange"]
Motion = Literal["right", "left", "up", "down", "still", "growing", "shrinking"]
Background = Literal["black", "white", "grey"]

SHAPES: tuple[Shape, ...] = get_args(Shape)
COLOURS: tuple[Colour, ...] = get_args(Colour)
MOTIONS: tuple[Motion, ...] = get_args(Motion)
BACKGROUNDS: tuple[Background, ...] = get_args(Background)

_RADIUS = (0.20, 0.28)
_SMALL_RADIUS = (0.12, 0.15)
_LARGE_RADIUS = (0.31, 0.35)
_TRAVEL = (0.7, 1.0)


@dataclass(frozen=True)
class Place:
    """Where a shape is, and how large.

    x, y: of its centre, in 0..1 between the two outermost places at which the shape, at the largest radius of its
        scene, still lies inside the frame; 0 is left and top.
    radius: as a fraction of the frame's shorter side.
    """

    x: float
    y: float
    radius: float


@dataclass(frozen=True)
class Scene:
    """One shape that goes evenly from `start`, in the first frame, to `end`, in the last."""

    shape: Shape
    colour: Colour
    motion: Motion
    background: Background
    start: Place
    end: Place


def sample_scene(rng: np.random.Generator, motions: Sequence[Motion] = MOTIONS) -> Scene:
    """A scene of any shape, colour and background and one of `motions`, all equally likely."""
    return place_scene(
        rng,
        SHAPES[rng.integers(len(SHAPES))],
        COLOURS[rng.integers(len(COLOURS))],
        motions[rng.integers(len(motions))],
        BACKGROUNDS[rng.integers(len(BACKGROUNDS))],
    )


def place_scene(
    rng: np.random.Generator, shape: Shape, colour: Colour, motion: Motion, background: Background
) -> Scene:
    """A scene of these classes, somewhere, in some size, at some speed."""
    x, y = rng.uniform(size=2).tolist()
    if motion in ("growing", "shrinking"):
        small, large = Place(x, y, rng.uniform(*_SMALL_RADIUS)), Place(x, y, rng.uniform(*_LARGE_RADIUS))
        start, end = (small, large) if motion == "growing" else (large, small)
        return Scene(shape, colour, motion, background, start, end)
    radius = rng.uniform(*_RADIUS)
    travel = rng.uniform(*_TRAVEL)
    low = rng.uniform(0, 1 - travel)
    start, end = {
        "still": (Place(x, y, radius), Place(x, y, radius)),
        "right": (Place(low, y, radius), Place(low + travel, y, radius)),
        "left": (Place(low + travel, y, radius), Place(low, y, radius)),
        "down": (Place(x, low, radius), Place(x, low + travel, radius)),
        "up": (Place(x, low + travel, radius), Place(x, low, radius)),
    }[motion]
    return Scene(shape, colour, motion, background, start, end)
