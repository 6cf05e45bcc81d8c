"""toy-wan-i2v: from a first frame and a caption to a video, with two experts, in the layout of Wan2.2-I2V-A14B.

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

from toy.training.assemble import for_inference, image_to_video, save_checkpoint
from toy.training.checkpoint import load_text_to_video, load_vae
from toy.training.denoiser import Denoiser
from toy.training.evaluation import held_out_prompts, look
from toy.training.flow import HIGH_NOISE, LOW_NOISE, NoiseRange
from toy.training.latents import Bucket, LatentCache, encode_videos
from toy.training.side_by_side import run_side_by_side
from toy.training.stage import Plan, Stage
from toy.training.transformer import with_image_input
from toy.training.wan import FLOW_SHIFT, flow_stage
from toy.world.draw import draw

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
"""not those of toy-wan-t2v, whose videos lack the condition"""

HIGH = Plan("i2v-high", steps=1800, learning_rate=1.5e-3, weight_decay=0.01, ema_decay=0.998, evaluate_every=900)
LOW = replace(HIGH, name="i2v-low", seed=1)


@dataclass(frozen=True)
class Expert:
    """plan, the noise levels it learns, and which transformer of the checkpoint it is"""

    plan: Plan
    noise: NoiseRange
    name: str


EXPERTS = (Expert(HIGH, HIGH_NOISE, "transformer"), Expert(LOW, LOW_NOISE, "transformer_2"))


@dataclass(frozen=True)
class Workplace:
    """Where the transformers are trained.

    state: everything that a resumed run needs
    t2v: the folder of toy-wan-t2v
    scale: of the number of steps of every stage
    captions: how many the result is judged by
    """

    state: Path
    t2v: Path
    scale: float = 1.0
    buckets: tuple[Bucket, ...] = BUCKETS
    captions: int = 40

    def start(self, expert: Expert) -> Denoiser:
        """The expert before training: toy-wan-t2v's, which ignores the image."""
        text_to_video = load_text_to_video(self.t2v, expert.name)
        text_to_video.text_encoder.requires_grad_(False)
        wide = with_image_input(text_to_video.transformer)
        return Denoiser(wide, text_to_video.text_encoder, text_to_video.tokenizer)

    def stage(
        self, expert: Expert, denoiser: Denoiser, evaluate: Callable[[int], Mapping[str, float]] | None = None
    ) -> Stage:
        return flow_stage(
            expert.plan.scaled(self.scale),
            denoiser,
            LatentCache(self.state / "videos", self.buckets),
            expert.noise,
            folder=self.state,
            evaluate=evaluate,
        )


def train(place: Workplace, to: Path) -> None:
    """Trains both experts side by side, and writes the checkpoint."""
    encode_videos(place.t2v / "vae", place.state / "videos", place.buckets, condition=True, seed=1)
    run_side_by_side([partial(train_expert, place, expert) for expert in EXPERTS])
    assemble(place, to)


def train_expert(place: Workplace, expert: Expert) -> None:
    """Trains one, and looks at it beside the other as that was before training."""
    pair = {each: place.start(each) for each in EXPERTS}

    def evaluate(step: int) -> Mapping[str, float]:
        return judge(_pipeline(place, *pair.values()), place.state / "sheets" / f"{expert.plan.name}-{step:06}.png", 10)

    place.stage(expert, pair[expert], evaluate).run()


def assemble(place: Workplace, to: Path) -> None:
    """Writes the checkpoint of two trained experts."""
    pair = [place.start(expert) for expert in EXPERTS]
    for expert, denoiser in zip(EXPERTS, pair, strict=True):
        place.stage(expert, denoiser).run()  # has been trained: only takes the result
    pipeline = _pipeline(place, *pair)
    log.info("image-to-video: %s", judge(pipeline, place.state / "sheets" / "result.png", place.captions))
    save_checkpoint(pipeline, to, DEFAULTS)


def _pipeline(place: Workplace, high: Denoiser, low: Denoiser) -> Any:
    return image_to_video(
        load_vae(place.t2v / "vae"),
        high.text_encoder,
        high.tokenizer,
        (for_inference(high.transformer), for_inference(low.transformer)),
        FLOW_SHIFT,
    )


def judge(pipeline: Any, sheet: Path, count: int) -> dict[str, float]:
    """Scores of held-out captions with a drawn first frame, and that frame's likeness in the videos (PSNR in dB)."""
    scenes, captions = held_out_prompts(count)
    pipeline.set_progress_bar_config(disable=True)
    videos, likeness = [], []
    for seed, (scene, caption) in enumerate(zip(scenes, captions, strict=True)):
        first = draw(scene, 64, 64, 9)[0]
        video = pipeline(
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
        videos.append(video)
        likeness.append(-10 * np.log10(np.mean((video[0] - first) ** 2)))
    return look(videos, scenes, captions, sheet) | {"first frame dB": float(np.mean(likeness))}
