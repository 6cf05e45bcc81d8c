"""A look at a model in training: held-out captions through diffusers' pipeline, judged from the pixels."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from toy.world.captions import held_out_caption, held_out_still_caption
from toy.world.detect import detect
from toy.world.scene import Scene, sample_scene
from toy.world.scores import ATTRIBUTES, Attribute, is_right, score
from toy.world.sheet import Exhibit, contact_sheet

_AT_ONCE = 10
_SETTINGS = ("width", "height", "num_frames", "num_inference_steps", "guidance_scale", "max_sequence_length")

Videos = NDArray[np.float32]
"""[videos, frames, height, width, RGB], 0..1"""


def held_out_prompts(count: int, *, still: bool = False, seed: int = 0) -> tuple[list[Scene], list[str]]:
    """Scenes and captions of them (of images if `still`) that training never makes, half of each kind."""
    rng = np.random.default_rng([seed, 2**20])
    scenes = [sample_scene(rng) for _ in range(count)]
    write = held_out_still_caption if still else held_out_caption
    captions = [write(scene, rng, "sentence" if number % 2 else "wording") for number, scene in enumerate(scenes)]
    return scenes, captions


def sample_videos(pipeline: Any, captions: Sequence[str], defaults: Mapping[str, Any]) -> Videos:
    """A video for each caption as `defaults.json` says; caption i with seed i."""
    pipeline.set_progress_bar_config(disable=True)
    settings = {name: defaults[name] for name in _SETTINGS}
    videos = []
    for first in range(0, len(captions), _AT_ONCE):
        few = list(captions[first : first + _AT_ONCE])
        videos += list(
            pipeline(
                few,
                **settings,
                generator=[torch.Generator().manual_seed(first + number) for number in range(len(few))],
                output_type="np",
            ).frames
        )
    return np.stack(videos)


def look(
    videos: Sequence[NDArray[np.float32]],
    scenes: Sequence[Scene],
    captions: Sequence[str],
    sheet: Path,
    attributes: Sequence[Attribute] = ATTRIBUTES,
) -> dict[str, float]:
    """The share of videos that show what their scenes say, per attribute and all at once; draws a sheet too."""
    pairs = [(scene, detect(video)) for scene, video in zip(scenes, videos, strict=True)]
    exhibits = [
        Exhibit(video, caption, ", ".join(name for name in attributes if not is_right(scene, seen, name)))
        for video, caption, (scene, seen) in zip(videos, captions, pairs, strict=True)
    ]
    sheet.parent.mkdir(parents=True, exist_ok=True)
    contact_sheet(exhibits).save(sheet)
    scores = score(pairs, attributes)
    return {name: value.share for name, value in scores.attributes.items()} | {"all": scores.together.share}


def evaluator(
    pipeline: Callable[[], Any], defaults: Mapping[str, Any], folder: Path, name: str, count: int = 20
) -> Callable[[int], Mapping[str, float]]:
    """For `Stage`: scores of `count` held-out captions, and their contact sheet in `folder`."""
    scenes, captions = held_out_prompts(count)

    def evaluate(step: int) -> Mapping[str, float]:
        videos = sample_videos(pipeline(), captions, defaults)
        return look(list(videos), scenes, captions, folder / "sheets" / f"{name}-{step:06}.png")

    return evaluate
