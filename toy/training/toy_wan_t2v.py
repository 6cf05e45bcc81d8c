"""toy-wan-t2v: text-to-video with two experts, in the layout of Wan2.2-T2V-A14B."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from export.tiny.t5_tokenizer import word_tokenizer
from toy.training.assemble import for_inference, save_checkpoint, text_to_video
from toy.training.checkpoint import load_vae
from toy.training.denoiser import Denoiser
from toy.training.evaluation import evaluator
from toy.training.flow import HIGH_NOISE, LOW_NOISE, NoiseRange
from toy.training.latents import Bucket, LatentCache, encode_videos
from toy.training.side_by_side import Task, run_side_by_side
from toy.training.stage import Plan, Stage
from toy.training.text import umt5_encoder
from toy.training.transformer import wan_transformer
from toy.training.vae import FINAL, FROZEN, train_decoder, train_encoder
from toy.training.wan import FLOW_SHIFT, flow_stage
from toy.world.captions import VOCABULARY

log = logging.getLogger(__name__)

DEFAULTS = {
    "id": "toy-wan-t2v",
    "width": 64,
    "height": 64,
    "num_frames": 9,
    "fps": 8,
    "num_inference_steps": 16,
    "guidance_scale": 3.5,
    "guidance_scale_2": 3.5,
    "max_frames": 161,
    "max_sequence_length": 64,
}

BUCKETS = (
    Bucket(64, 64, 9, parts=24, share=0.52),
    Bucket(96, 64, 9, parts=4, share=0.08),
    Bucket(64, 96, 9, parts=4, share=0.08),
    Bucket(80, 80, 9, parts=4, share=0.08),
    Bucket(64, 64, 17, parts=4, share=0.10),
    Bucket(64, 64, 5, parts=4, share=0.08),
    Bucket(64, 64, 1, parts=4, share=0.06),
)

BASE = Plan("base", steps=2400, learning_rate=2e-3, warm_up=50, weight_decay=0.01, ema_decay=0.998, evaluate_every=1200)
BASE_NOISE = NoiseRange(low=0.8)
"""The base learns what captions mean, and where a frame has its edges, which only shows where noise hides all else."""
HIGH = replace(BASE, name="high", steps=6000, learning_rate=1.5e-3, evaluate_every=1500)
LOW = replace(HIGH, name="low", steps=7000, seed=1)


@dataclass(frozen=True)
class Workplace:
    """Where the transformers are trained.

    state: everything that a resumed run needs
    vae: the folder of an autoencoder whose encoder is final
    scale: of the number of steps of every stage
    captions: how many are looked at on the way
    """

    state: Path
    vae: Path
    scale: float = 1.0
    buckets: tuple[Bucket, ...] = BUCKETS
    captions: int = 20

    @property
    def videos(self) -> Path:
        return self.state / "videos"

    def stage(self, plan: Plan, denoiser: Denoiser, noise: NoiseRange, pipeline: Callable[[], Any] | None) -> Stage:
        """`pipeline` makes videos to look at on the way, if any."""
        return flow_stage(
            plan.scaled(self.scale),
            denoiser,
            LatentCache(self.videos, self.buckets[:1] if plan is BASE else self.buckets),
            noise,
            folder=self.state,
            evaluate=evaluator(pipeline, DEFAULTS, self.state, plan.name, self.captions) if pipeline else None,
        )


def train(state: Path, to: Path, scale: float) -> None:
    """Trains everything, the autoencoder first, and writes the checkpoint."""
    vae = state / "vae"
    train_encoder(vae, factor=scale)
    place = Workplace(state, vae / FROZEN, scale)
    train_transformers(place, beside_base=partial(train_decoder, vae, factor=scale))
    assemble(place, vae / FINAL, to)


def train_transformers(place: Workplace, beside_base: Task | None = None) -> None:
    """Encodes videos, trains the base (with something else on the other core), then both experts."""
    encode_videos(place.vae, place.videos, place.buckets)
    run_side_by_side([partial(train_base, place), *([beside_base] if beside_base else [])])
    run_side_by_side([partial(train_expert, place, HIGH, HIGH_NOISE), partial(train_expert, place, LOW, LOW_NOISE)])


def train_base(place: Workplace) -> None:
    """One transformer on videos of the first size, and the text encoder with it."""
    denoiser = _fresh()
    vae = load_vae(place.vae)
    place.stage(BASE, denoiser, BASE_NOISE, lambda: _pipeline(vae, denoiser, for_inference(denoiser.transformer))).run()


def train_expert(place: Workplace, plan: Plan, noise: NoiseRange) -> None:
    """The base goes on in a part of the noise levels; the text encoder stays as it is."""
    denoiser = trained(place, BASE)
    vae, base = load_vae(place.vae), for_inference(denoiser.transformer)

    def pipeline() -> Any:
        expert = for_inference(denoiser.transformer)
        return _pipeline(vae, denoiser, *((expert, base) if noise == HIGH_NOISE else (base, expert)))

    _freeze_text(denoiser)
    place.stage(plan, denoiser, noise, pipeline).run()


def trained(place: Workplace, plan: Plan) -> Denoiser:
    """The result of a stage that has been trained."""
    denoiser = _fresh()
    if plan is not BASE:
        _freeze_text(denoiser)
    place.stage(plan, denoiser, BASE_NOISE, None).run()
    return denoiser


def assemble(place: Workplace, vae: Path, to: Path) -> None:
    """Writes the checkpoint, with the (finished) autoencoder in the folder `vae`."""
    high, low = trained(place, HIGH), trained(place, LOW)
    pipeline = _pipeline(load_vae(vae), high, for_inference(high.transformer), for_inference(low.transformer))
    result = evaluator(lambda: pipeline, DEFAULTS, place.state, "result", 3 * place.captions)(0)
    log.info("text-to-video: %s", result)
    save_checkpoint(pipeline, to, DEFAULTS)


def _fresh() -> Denoiser:
    torch.manual_seed(0)
    tokenizer = word_tokenizer(VOCABULARY)
    encoder = umt5_encoder(len(tokenizer))
    return Denoiser(wan_transformer(encoder.config.d_model), encoder, tokenizer)


def _freeze_text(denoiser: Denoiser) -> None:
    denoiser.text_encoder.requires_grad_(False)


def _pipeline(vae: Any, denoiser: Denoiser, *transformers: Any) -> Any:
    return text_to_video(vae, denoiser.text_encoder, denoiser.tokenizer, transformers, FLOW_SHIFT)
