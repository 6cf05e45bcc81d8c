"""toy-wan-ti2v: one transformer for text-to-video and image-to-video, in the layout of Wan2.2-TI2V-5B.

Its autoencoder has 48 channels, a latent for 16x16 pixels; its text encoder is that of toy-wan-t2v.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from toy.training.assemble import for_inference, save_checkpoint, text_image_to_video
from toy.training.checkpoint import load_text_to_video, load_vae
from toy.training.denoiser import Denoiser
from toy.training.evaluation import evaluator
from toy.training.latents import Bucket, LatentCache, encode_videos
from toy.training.stage import Plan
from toy.training.transformer import wan_transformer
from toy.training.vae import FINAL, FROZEN, RESIDUAL_LAYOUT, train_decoder, train_encoder
from toy.training.wan import FLOW_SHIFT, token_flow_stage

log = logging.getLogger(__name__)

DEFAULTS = {
    "id": "toy-wan-ti2v",
    "width": 128,
    "height": 128,
    "num_frames": 9,
    "fps": 8,
    "num_inference_steps": 12,
    "guidance_scale": 5.0,
    "max_frames": 161,
    "max_sequence_length": 64,
}

SMALL_BUCKETS = (
    Bucket(96, 96, 9, parts=30, share=0.6, token=32),
    Bucket(128, 96, 9, parts=3, share=0.1, token=32),
    Bucket(96, 128, 9, parts=3, share=0.1, token=32),
    Bucket(64, 64, 9, parts=3, share=0.1, token=32),
    Bucket(96, 96, 17, parts=2, share=0.1, token=32),
)
LARGE_BUCKETS = (*SMALL_BUCKETS, Bucket(128, 128, 9, parts=20, share=1.0, token=32))

SMALL = Plan(
    "small", steps=7000, learning_rate=1.5e-3, warm_up=100, weight_decay=0.01, ema_decay=0.998, evaluate_every=1000
)
LARGE = replace(SMALL, name="large", steps=6000, learning_rate=1e-3)
"""In larger videos a shape covers more tokens, so each has less to know."""

_CHANNELS = 48
_VAE_STEPS = 2
"""times as many as the 16-channel autoencoder gets, for it sees half the detail"""


@dataclass(frozen=True)
class Workplace:
    """Where autoencoder and transformer are trained.

    state: everything that a resumed run needs
    t2v: the folder of toy-wan-t2v
    scale: of the number of steps of every stage
    captions: how many are looked at on the way
    """

    state: Path
    t2v: Path
    scale: float = 1.0
    small: tuple[Bucket, ...] = SMALL_BUCKETS
    large: tuple[Bucket, ...] = LARGE_BUCKETS
    captions: int = 20

    @property
    def vae(self) -> Path:
        return self.state / "vae"

    @property
    def videos(self) -> Path:
        return self.state / "videos"

    def start(self) -> Denoiser:
        """The transformer before training, with toy-wan-t2v's text encoder."""
        text_to_video = load_text_to_video(self.t2v, "transformer")
        text_to_video.text_encoder.requires_grad_(False)
        torch.manual_seed(0)
        transformer = wan_transformer(text_to_video.text_encoder.config.d_model, _CHANNELS, heads=7, layers=4)
        return Denoiser(transformer, text_to_video.text_encoder, text_to_video.tokenizer)


def train(place: Workplace, to: Path) -> None:
    """Trains the autoencoder and then the transformer, and writes the checkpoint."""
    train_encoder(place.vae, factor=_VAE_STEPS * place.scale, layout=RESIDUAL_LAYOUT)
    encode_videos(place.vae / FROZEN, place.videos, place.large, seed=3)
    train_decoder(place.vae, factor=_VAE_STEPS * place.scale)
    assemble(place, train_transformer(place), to)


def train_transformer(place: Workplace) -> Denoiser:
    """Text to video and image to video at once, on small videos and then on larger ones too."""
    denoiser, vae = place.start(), load_vae(place.vae / FINAL)
    for plan, buckets in ((SMALL, place.small), (LARGE, place.large)):
        token_flow_stage(
            plan.scaled(place.scale),
            denoiser,
            LatentCache(place.videos, buckets),
            folder=place.state,
            evaluate=evaluator(lambda: _pipeline(denoiser, vae), DEFAULTS, place.state, plan.name, place.captions),
        ).run()
    return denoiser


def assemble(place: Workplace, denoiser: Denoiser, to: Path) -> None:
    """Writes the checkpoint of the trained transformer and the finished autoencoder."""
    pipeline = _pipeline(denoiser, load_vae(place.vae / FINAL))
    result = evaluator(lambda: pipeline, DEFAULTS, place.state, "result", 3 * place.captions)(0)
    log.info("text-to-video: %s", result)
    save_checkpoint(pipeline, to, DEFAULTS)


def _pipeline(denoiser: Denoiser, vae: Any) -> Any:
    return text_image_to_video(
        vae, denoiser.text_encoder, denoiser.tokenizer, for_inference(denoiser.transformer), FLOW_SHIFT
    )
