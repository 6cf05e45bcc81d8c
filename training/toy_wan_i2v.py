"""toy-wan-i2v: from a first frame and a caption to a clip, with two experts, in the layout of Wan2.2-I2V-A14B.

It begins as toy-wan-t2v, whose autoencoder and text encoder it keeps.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from toy_world.draw import draw
from training.assemble import for_inference, image_to_video, save_checkpoint
from training.checkpoint import load_text_to_video, load_vae
from training.denoiser import Denoiser
from training.evaluation import held_out_prompts, look
from training.flow import HIGH_NOISE, LOW_NOISE, NoiseRange
from training.latents import Bucket, LatentCache, encode_clips
from training.side_by_side import run_side_by_side
from training.stage import Plan
from training.transformer import with_image_input
from training.wan import FLOW_SHIFT, flow_stage

log = logging.getLogger(__name__)

DEFAULTS = {
    "id": "toy-wan-i2v",
    "width": 64,
    "height": 64,
    "num_frames": 9,
    "fps": 8,
    "num_inference_steps": 10,
    "guidance_scale": 3.0,
    "guidance_scale_2": 3.0,
    "max_frames": 161,
    "max_sequence_length": 64,
}

BUCKETS = (
    Bucket(64, 64, 9, parts=10, share=0.6),
    Bucket(96, 64, 9, parts=2, share=0.1),
    Bucket(64, 96, 9, parts=2, share=0.1),
    Bucket(80, 80, 9, parts=2, share=0.1),
    Bucket(64, 64, 17, parts=2, share=0.1),
)
"""not those of toy-wan-t2v, whose clips lack the condition"""

HIGH = Plan("i2v-high", steps=2500, learning_rate=4e-3, weight_decay=0.01, ema_decay=0.998, evaluate_every=1250)
LOW = replace(HIGH, name="i2v-low", seed=1)
_EVALUATED = 40


@dataclass(frozen=True)
class Expert:
    """plan, the noise levels it learns, and which transformer of the checkpoint it is"""

    plan: Plan
    noise: NoiseRange
    name: str


EXPERTS = (Expert(HIGH, HIGH_NOISE, "transformer"), Expert(LOW, LOW_NOISE, "transformer_2"))


@dataclass(frozen=True)
class Workplace:
    """state: everything that a resumed run needs; t2v: the folder of toy-wan-t2v; scale: of the number of steps"""

    state: Path
    t2v: Path
    scale: float = 1.0

    def run(self, expert: Expert, evaluate: Callable[[int], Mapping[str, float]] | None = None) -> Denoiser:
        """The expert, trained; at once where that has been done before."""
        denoiser = self._widened(expert)
        flow_stage(
            expert.plan.scaled(self.scale),
            denoiser,
            LatentCache(self.state / "clips", BUCKETS),
            expert.noise,
            folder=self.state,
            evaluate=evaluate,
        ).run()
        return denoiser

    def _widened(self, expert: Expert) -> Denoiser:
        start = load_text_to_video(self.t2v, expert.name)
        start.text_encoder.requires_grad_(False)
        return Denoiser(with_image_input(start.transformer), start.text_encoder, start.tokenizer)


def train(place: Workplace, to: Path) -> None:
    """Trains and writes the checkpoint."""
    encode_clips(place.t2v / "vae", place.state / "clips", BUCKETS, condition=True, seed=1)
    run_side_by_side([partial(train_expert, place, expert) for expert in EXPERTS])
    pipeline = pipeline_of(place, *(place.run(expert) for expert in EXPERTS))
    log.info("image-to-video: %s", judge(pipeline, place.state / "sheets" / "result.png"))
    save_checkpoint(pipeline, to, DEFAULTS)


def train_expert(place: Workplace, expert: Expert) -> None:
    place.run(expert)


def pipeline_of(place: Workplace, high: Denoiser, low: Denoiser) -> Any:
    return image_to_video(
        load_vae(place.t2v / "vae"),
        high.text_encoder,
        high.tokenizer,
        (for_inference(high.transformer), for_inference(low.transformer)),
        FLOW_SHIFT,
    )


def judge(pipeline: Any, sheet: Path) -> dict[str, float]:
    """Scores of held-out captions with a drawn first frame, and that frame's likeness in the clips (PSNR in dB)."""
    scenes, captions = held_out_prompts(_EVALUATED)
    clips, likeness = [], []
    for seed, (scene, caption) in enumerate(zip(scenes, captions, strict=True)):
        first = draw(scene, 64, 64, 9)[0]
        clip = pipeline(
            Image.fromarray((first * 255).round().astype(np.uint8)),
            caption,
            width=64,
            height=64,
            num_frames=9,
            num_inference_steps=DEFAULTS["num_inference_steps"],
            guidance_scale=DEFAULTS["guidance_scale"],
            max_sequence_length=DEFAULTS["max_sequence_length"],
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        ).frames[0]
        clips.append(clip)
        likeness.append(-10 * np.log10(np.mean((clip[0] - first) ** 2)))
    return look(clips, scenes, captions, sheet) | {"first frame dB": float(np.mean(likeness))}
