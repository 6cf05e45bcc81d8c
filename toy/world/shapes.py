"""The outlines of the shapes, as signed distances: negative inside, in the unit of their arguments."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from toy.world.scene import Shape

Field = NDArray[np.float32]

EXTENT = 1.1
"""no shape reaches further from its centre, along x or y, than this many radii"""

_ARM_LENGTH, _ARM_WIDTH = 1.08, 0.36
_RING_OUTER, _RING_INNER = 1.08, 0.50
_TRIANGLE_HALF_HEIGHT = 0.95


def distance(shape: Shape, x: Field, y: Field, radius: Field) -> Field:
    """Distance of the points (x, y), taken from the shape's centre with y downwards, to its edge.

    Exact inside and near the edge; beyond a corner it is that of the edge's straight continuation.
    The arguments broadcast against each other.
    """
    return _DISTANCES[shape](x, y, radius)


def _circle(x: Field, y: Field, radius: Field) -> Field:
    from_centre: Field = np.hypot(x, y)
    return from_centre - radius


def _square(x: Field, y: Field, radius: Field) -> Field:
    return _box(x, y, radius, radius)


def _triangle(x: Field, y: Field, radius: Field) -> Field:
    """Equilateral, standing on a side, centred between its top and its bottom."""
    half = _TRIANGLE_HALF_HEIGHT * radius
    from_top = y + half
    side = np.float32(np.sqrt(0.75)) * np.abs(x) - np.float32(0.5) * from_top
    return np.maximum(side, y - half)


def _cross(x: Field, y: Field, radius: Field) -> Field:
    """A plus sign."""
    length, width = _ARM_LENGTH * radius, _ARM_WIDTH * radius
    return np.minimum(_box(x, y, length, width), _box(x, y, width, length))


def _ring(x: Field, y: Field, radius: Field) -> Field:
    from_centre: Field = np.hypot(x, y)
    return np.maximum(from_centre - _RING_OUTER * radius, _RING_INNER * radius - from_centre)


def _box(x: Field, y: Field, half_width: Field, half_height: Field) -> Field:
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


_DISTANCES: Mapping[Shape, Callable[[Field, Field, Field], Field]] = {
    "circle": _circle,
    "square": _square,
    "triangle": _triangle,
    "cross": _cross,
    "ring": _ring,
}
