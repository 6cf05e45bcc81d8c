"""Prompts of the toy world, all different: an equal prompt would be encoded only once."""

from itertools import product

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
SHAPES = ("circle", "square", "triangle")
MOTIONS = ("moving right", "moving left", "rising", "falling", "growing", "shrinking", "standing still")

_ALL = [f"a {colour} {shape} {motion}" for motion, shape, colour in product(MOTIONS, SHAPES, COLOURS)]


def prompt(number: int) -> str:
    """The prompt of that number; they repeat after 126."""
    return _ALL[number % len(_ALL)]
