"""toy-qwen-image: text-to-image in the layout of Qwen-Image, on the autoencoder of toy-wan-t2v."""

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.tiny.qwen_tokenizer import chat_tokenizer
from pipelines.qwen_image import pack, unpack
from toy.training.assemble import save_checkpoint
from toy.training.captioning import captions_of
from toy.training.checkpoint import load_vae
from toy.training.device import best_device
from toy.training.evaluation import held_out_prompts, look
from toy.training.flow import ALL_NOISE, NoiseRange, add_noise, draw_sigmas, losses
from toy.training.latents import Bucket, LatentCache, encode_videos
from toy.training.qwen_text import TEXT_DIM, encode_chat, freeze_unused, qwen_encoder
from toy.training.stage import Outcome, Plan, Stage, Step
from toy.training.vae_qwen_image import qwen_image_vae
from toy.training.wan import MUON_RATE, is_block_matrix, outcome
from toy.world.captions import VOCABULARY

log = logging.getLogger(__name__)

DEFAULTS = {
    "id": "toy-qwen-image",
    "width": 96,
    "height": 96,
    "num_inference_steps": 30,
    "true_cfg_scale": 4.0,
    "max_sequence_length": 64,
}

BUCKETS = (
    Bucket(64, 64, 1, parts=60, share=0.1),
    Bucket(96, 96, 1, parts=150, share=0.6),
    Bucket(128, 96, 1, parts=30, share=0.1),
    Bucket(96, 128, 1, parts=30, share=0.1),
    Bucket(128, 128, 1, parts=30, share=0.1),
)

SMALL = Plan("small", steps=3000, learning_rate=2e-3, warm_up=100, weight_decay=0.01, ema_decay=0.998)
SMALL_NOISE = NoiseRange(low=0.5)
"""Small images are cheap, so many of them tell what captions mean; that shows where noise hides the rest."""
LARGE = replace(SMALL, name="large", steps=14000, evaluate_every=2000)
LAST = replace(LARGE, name="last", steps=6500, learning_rate=1e-3, seed=1)
"""Once more, from half the rate: half of the images that were wrong are right then."""

_FLOW_SHIFT = 3.0
_EVALUATED = 60


class ChatDenoiser(nn.Module):
    """A Qwen-Image transformer with the text encoder that it reads."""

    def __init__(self, transformer: Any, text_encoder: Any, tokenizer: Any) -> None:
        super().__init__()
        self.transformer = transformer
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self.to(best_device())

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(self, latents: Tensor, sigmas: Tensor, captions: Sequence[str]) -> Tensor:
        """The velocity at noisy images, float32 [batch, channels, 1, height, width], of noise levels [batch]."""
        text = encode_chat(self.text_encoder, self.tokenizer, captions)
        height, width = latents.shape[-2:]
        packed: Tensor = self.transformer(
            hidden_states=pack(latents),
            timestep=sigmas,
            encoder_hidden_states=text.states,
            encoder_hidden_states_mask=text.mask,
            img_shapes=[[(1, height // 2, width // 2)]] * len(latents),
        ).sample
        return unpack(packed, height, width)


@dataclass(frozen=True)
class Workplace:
    """state: everything that a resumed run needs; vae: the folder of an `AutoencoderKLWan`; scale: of the steps"""

    state: Path
    vae: Path
    scale: float = 1.0

    @property
    def images(self) -> Path:
        return self.state / "images"

    def run(self, evaluate: Callable[[Any], Mapping[str, float]]) -> ChatDenoiser:
        """The trained model; at once where it has been trained before. `evaluate` gets a pipeline."""
        denoiser = fresh_denoiser()
        vae = qwen_image_vae(load_vae(self.vae))
        stages = ((SMALL, BUCKETS[:1], SMALL_NOISE), (LARGE, BUCKETS, ALL_NOISE), (LAST, BUCKETS, ALL_NOISE))
        for plan, buckets, noise in stages:
            Stage(
                plan.scaled(self.scale),
                denoiser,
                _flow_loss(denoiser, LatentCache(self.images, buckets), noise),
                folder=self.state,
                evaluate=lambda _: evaluate(pipeline_of(denoiser, vae)),
                by_muon=is_block_matrix,
                muon_rate=MUON_RATE,
            ).run()
        return denoiser


def train(place: Workplace, to: Path) -> None:
    """Trains on small images, then on larger ones too, and writes the checkpoint."""
    encode_videos(place.vae, place.images, BUCKETS, seed=2)
    denoiser = place.run(lambda pipeline: judge(pipeline, place.state / "sheets" / "on-the-way.png"))
    pipeline = pipeline_of(denoiser, qwen_image_vae(load_vae(place.vae)))
    log.info("text-to-image: %s", judge(pipeline, place.state / "sheets" / "result.png"))
    save_checkpoint(pipeline, to, DEFAULTS)


def _flow_loss(denoiser: ChatDenoiser, images: LatentCache, noise_range: NoiseRange) -> Callable[[Step], Outcome]:
    def loss(step: Step) -> Outcome:
        batch = images.batch(step.numpy).to(denoiser.device)
        noise = step.normal_like(batch.latents)
        sigmas = draw_sigmas(len(noise), noise_range, _FLOW_SHIFT, step.torch).to(denoiser.device)
        captions = [caption or _nothing(step.numpy) for caption in captions_of(batch, step.numpy)]
        velocity = denoiser(add_noise(batch.latents, noise, sigmas), sigmas, captions)
        return outcome(losses(velocity, batch.latents, noise))

    return loss


def fresh_denoiser() -> ChatDenoiser:
    """The model at its initial values."""
    from diffusers import QwenImageTransformer2DModel

    torch.manual_seed(0)
    tokenizer = chat_tokenizer(VOCABULARY)
    encoder = qwen_encoder(tokenizer)
    freeze_unused(encoder)
    transformer = QwenImageTransformer2DModel(
        num_layers=4,
        num_attention_heads=5,
        attention_head_dim=32,
        axes_dims_rope=(8, 12, 12),
        joint_attention_dim=TEXT_DIM,
    )
    with torch.no_grad():
        transformer.proj_out.weight.zero_()
        transformer.proj_out.bias.zero_()
    return ChatDenoiser(transformer, encoder, tokenizer)


def pipeline_of(denoiser: ChatDenoiser, vae: Any) -> Any:
    """A `QwenImagePipeline` that shares the modules."""
    from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline

    # Qwen-Image's shift grows with the image; these small ones all get the same.
    shift = math.log(_FLOW_SHIFT)
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True,
        time_shift_type="exponential",
        base_image_seq_len=256,
        max_image_seq_len=8192,
        base_shift=shift,
        max_shift=shift,
        shift_terminal=0.02,
    )
    return QwenImagePipeline(
        scheduler=scheduler,
        vae=vae,
        text_encoder=denoiser.text_encoder,
        tokenizer=denoiser.tokenizer,
        transformer=denoiser.transformer,
    )


def judge(pipeline: Any, sheet: Path) -> dict[str, float]:
    """Scores of held-out captions."""
    scenes, captions = held_out_prompts(_EVALUATED, still=True)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        list(captions),
        negative_prompt=[" "] * len(captions),
        width=DEFAULTS["width"],
        height=DEFAULTS["height"],
        num_inference_steps=DEFAULTS["num_inference_steps"],
        true_cfg_scale=DEFAULTS["true_cfg_scale"],
        max_sequence_length=DEFAULTS["max_sequence_length"],
        generator=[torch.Generator().manual_seed(seed) for seed in range(len(captions))],
        output_type="np",
    ).images
    return look([image[None] for image in images], scenes, captions, sheet, ("shape", "colour", "background"))


def _nothing(rng: np.random.Generator) -> str:
    """Nothing, as the pipeline is told it: Qwen-Image's own negative prompt is one space."""
    return " " if rng.random() < 0.5 else ""
