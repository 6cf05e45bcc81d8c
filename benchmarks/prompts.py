"""Prompts of the toy world, all different: an equal prompt would be encoded only once."""

from itertools import product

from toy.world.scene import COLOURS, SHAPES

MOTIONS = ("moving right", "moving left", "rising", "falling", "growing", "shrinking", "standing still")

_ALL = [f"a {colour} {shape} {motion}" for motion, shape, colour in product(MOTIONS, SHAPES, COLOURS)]


def prompt(number: int) -> str:
    """The prompt of that number; they repeat after 210."""
    return _ALL[number % len(_ALL)]
