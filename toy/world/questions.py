"""What the evaluation asks a model for: captions that training never has, and what they should show."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from toy.world.captions import HeldOut, colourless_caption, held_out_caption, held_out_still_caption
from toy.world.scene import MOTIONS, Motion, Scene, sample_scene
from toy.world.scores import ATTRIBUTES, Attribute

Task = Literal["text-to-video", "image-to-video", "text-to-image"]
TASKS: tuple[Task, ...] = get_args(Task)

_STREAM = 4  # whatever training draws with a seed of one number, these scenes are others
_STILL: tuple[Motion, ...] = ("still",)


@dataclass(frozen=True)
class Question:
    """A prompt, the scene that it is about, and the seed of the answer.

    kind: which way the prompt is held out; "open" leaves the colour out.
    """

    scene: Scene
    prompt: str
    kind: HeldOut | Literal["open"]
    seed: int


def attributes_of(task: Task) -> Sequence[Attribute]:
    """What the answers to a task are judged by."""
    return [attribute for attribute in ATTRIBUTES if task != "text-to-image" or attribute != "motion"]


def held_out_questions(task: Task, count: int, seed: int) -> list[Question]:
    """`count` questions, half of them of each kind; the same for the same seed."""
    rng = _generator(seed)
    write = held_out_still_caption if task == "text-to-image" else held_out_caption
    questions = []
    for i in range(count):
        scene = _scene(rng, task)
        kind: HeldOut = "sentence" if i % 2 == 0 else "wording"
        questions.append(Question(scene, write(scene, rng, kind), kind, seed + i))
    return questions


def colourless_questions(task: Task, count: int, seed: int) -> list[Question]:
    """`count` questions that leave the colour open, for negative prompts to choose."""
    rng = _generator(seed)
    scenes = [_scene(rng, task) for _ in range(count)]
    moving = task != "text-to-image"
    return [Question(scene, colourless_caption(scene, rng, moving), "open", seed + i) for i, scene in enumerate(scenes)]


def _generator(seed: int) -> np.random.Generator:
    return np.random.default_rng([_STREAM, seed])


def _scene(rng: np.random.Generator, task: Task) -> Scene:
    return sample_scene(rng, _STILL if task == "text-to-image" else MOTIONS)
