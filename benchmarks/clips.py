"""The clips that are made: prompts in the words of the toy world, each with its seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, cycle, product

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")
SHAPES = ("circle", "square", "triangle")
MOTIONS = ("moving right", "moving left", "moving up", "moving down", "growing", "shrinking", "standing still")
BACKGROUNDS = ("black", "white")


@dataclass(frozen=True)
class Clip:
    """What is asked for; everything else is the model's default."""

    prompt: str
    seed: int


def clips() -> Iterator[Clip]:
    """Endless, the same in every run: all prompts in a shuffled order, again and again, each time with a new seed."""
    prompts = [
        f"{'an' if colour == 'orange' else 'a'} {colour} {shape} {motion} on a {background} background"
        for colour, shape, motion, background in product(COLOURS, SHAPES, MOTIONS, BACKGROUNDS)
    ]
    random.Random(0).shuffle(prompts)
    for prompt, seed in zip(cycle(prompts), count(), strict=False):
        yield Clip(prompt, seed)
