"""The colours of shapes and backgrounds, as RGB in 0..1."""

from collections.abc import Mapping

from toy.world.scene import Background, Colour

RGB = tuple[float, float, float]

COLOUR_RGB: Mapping[Colour, RGB] = {
    "red": (0.90, 0.14, 0.14),
    "green": (0.14, 0.76, 0.28),
    "blue": (0.17, 0.35, 0.94),
    "yellow": (0.97, 0.87, 0.14),
    "purple": (0.66, 0.22, 0.86),
    "orange": (0.98, 0.52, 0.06),
}
BACKGROUND_RGB: Mapping[Background, RGB] = {
    "black": (0.07, 0.07, 0.09),
    "white": (0.93, 0.93, 0.94),
    "grey": (0.50, 0.50, 0.52),
}
