"""The words for what a scene shows: those that captions for training are made of, and those kept for evaluation."""

from collections.abc import Mapping
from dataclasses import dataclass

from toy.world.scene import Background, Motion, Shape

Phrasings = tuple[str, ...]


@dataclass(frozen=True)
class Phrases:
    """Ways to say each part of a caption, equally likely; repeated ones are likelier.

    The parts of `orders` are opening, colour, shape, motion and background. An opening that ends in "a" becomes "an"
    where it has to.
    """

    openings: Phrasings
    still_openings: Phrasings
    motions: Mapping[Motion, Phrasings]
    backgrounds: Mapping[Background, Phrasings]
    orders: Phrasings


SHAPE_WORDS: Mapping[Shape, Phrasings] = {
    "circle": ("circle", "circle", "circle", "disc", "ball", "dot"),
    "square": ("square", "square", "square", "box", "block"),
    "triangle": ("triangle",),
    "cross": ("cross", "cross", "cross", "plus sign"),
    "ring": ("ring", "ring", "ring", "hoop"),
}

TRAINING = Phrases(
    openings=("a", "a", "a", "the", "one", "", "a video of a", "an animation of a", "a clip of one"),
    still_openings=("a", "a", "a", "the", "one", "", "a picture of a", "an image of a", "a drawing of one"),
    motions={
        "right": (
            *("moving right", "moving to the right", "moves right", "sliding right", "slides to the right"),
            *("going right", "goes from left to right", "travelling to the right", "drifts right"),
        ),
        "left": (
            *("moving left", "moving to the left", "moves left", "sliding left", "slides to the left"),
            *("going left", "goes from right to left", "travelling to the left", "drifts left"),
        ),
        "up": (
            *("moving up", "moving upwards", "moves up", "sliding up", "going up", "goes from bottom to top"),
            *("rising", "rises", "floating up"),
        ),
        "down": (
            *("moving down", "moving downwards", "moves down", "sliding down", "going down", "goes from top to bottom"),
            *("falling", "falls", "dropping down"),
        ),
        "still": (
            *("standing still", "staying still", "not moving", "at rest", "that does not move", "that stays in place"),
            "",
        ),
        "growing": (
            *("growing", "growing larger", "getting bigger", "becoming larger", "expanding"),
            *("that grows", "that gets bigger", "that is growing"),
        ),
        "shrinking": (
            *("shrinking", "getting smaller", "becoming smaller", "contracting"),
            *("that shrinks", "that gets smaller", "that is shrinking"),
        ),
    },
    backgrounds={
        "black": (
            *("", "", "", "on a black background", "on a black background", "against a black background"),
            *("with a plain black background", "on black", "on a dark background"),
        ),
        "white": (
            *("on a white background", "on a white background", "against a white background"),
            *("with a plain white background", "on white", "on a light background"),
        ),
        "grey": (
            *("on a grey background", "on a grey background", "against a grey background"),
            *("with a plain grey background", "on grey", "on a gray background"),
        ),
    },
    orders=(
        *("{opening} {colour} {shape} {motion} {background}",) * 5,
        "{opening} {colour} {shape} {background} {motion}",
        "{background}, {opening} {colour} {shape} {motion}",
    ),
)

HELD_OUT = Phrases(
    openings=("a clip of a", "a clip of the", "a video of one", "an animation of one", "a", "the"),
    still_openings=("a drawing of a", "a drawing of the", "a picture of one", "an image of one"),
    motions={
        "right": ("slides right", "moves to the right", "goes right", "travelling right", "moving from left to right"),
        "left": ("slides left", "moves to the left", "goes left", "travelling left", "moving from right to left"),
        "up": ("slides up", "moves upwards", "goes up", "floating upwards", "moving from bottom to top"),
        "down": ("slides down", "moves downwards", "goes down", "dropping downwards", "moving from top to bottom"),
        "still": ("staying in place", "standing in place", "that stays still", "that is not moving", "that is at rest"),
        "growing": ("growing bigger", "becoming bigger", "getting larger", "that gets larger", "that is expanding"),
        "shrinking": ("that is getting smaller", "that is becoming smaller", "that is contracting"),
    },
    backgrounds={
        "black": ("against a plain black background", "with a black background", "against black"),
        "white": ("against a plain white background", "with a white background", "against white"),
        "grey": ("against a plain grey background", "with a grey background", "against grey"),
    },
    orders=(
        "{opening} {colour} {shape} {motion} {background}",
        "{opening} {colour} {shape}, {motion}, {background}",
        "{opening} {shape}, {colour}, {motion} {background}",
    ),
)
"""The words are those of TRAINING; none of the openings of images, motions and backgrounds is there."""
