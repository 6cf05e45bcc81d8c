"""Tiny Wan2.2 checkpoints: text-to-video, image-to-video (I2V-A14B), and both in one (TI2V-5B)."""

import json
import math
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path
from typing import Any

import torch

from export.defaults import DEFAULTS_FILE
from export.tiny.t5_tokenizer import word_tokenizer
from export.tiny.weights import randomise

_WORDS = "a an the red green blue circle square triangle cat dog moves walks left right up down on in grass sun"
_TEXT_HEADS = 4
_LEAST_HEAD = 10
"""numbers per head, below which GPUs have no fused attention in bfloat16"""
_PATCHED_CHANNELS = 48
"""latent channels of TI2V-5B"""


class Kind(Enum):
    T2V = auto()
    I2V = auto()
    TI2V = auto()


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What the layouts differ in."""

    experts: int
    heads: int
    head_dim: int
    layers: int
    ffn_dim: int
    text_dim: int
    text_layers: int = 2
    vae_dim: int
    vae_decoder_dim: int | None = None
    """of TI2V's VAE; None for twice `vae_dim`"""
    flow_shift: float
    kind: Kind = Kind.T2V


def build(folder: Path, model_id: str, sizes: Sizes, seed: int) -> None:
    """Write the checkpoint, with a defaults.json that gives it that id."""
    from diffusers import UniPCMultistepScheduler, WanImageToVideoPipeline, WanPipeline

    tokenizer = word_tokenizer(_WORDS.split())
    text_encoder, vae = _text_encoder(sizes, len(tokenizer)), _vae(sizes)
    transformers = [_transformer(sizes, vae.config.z_dim) for _ in range(sizes.experts)]
    for number, module in enumerate([text_encoder, vae, *transformers]):
        randomise(module, torch.Generator().manual_seed(16 * seed + number))
    # TI2V-5B is published as a WanPipeline, which is also what samples it without an image.
    pipeline = WanImageToVideoPipeline if sizes.kind is Kind.I2V else WanPipeline
    pipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae,
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=sizes.flow_shift
        ),
        transformer=transformers[0],
        transformer_2=transformers[1] if sizes.experts == 2 else None,
        boundary_ratio=_boundary_ratio(sizes),
        **({"expand_timesteps": True} if sizes.kind is Kind.TI2V else {}),
    ).save_pretrained(folder)
    (folder / DEFAULTS_FILE).write_text(json.dumps(_defaults(model_id, sizes), indent=2) + "\n")


def _boundary_ratio(sizes: Sizes) -> float | None:
    if sizes.experts == 1:
        return None
    return 0.9 if sizes.kind is Kind.I2V else 0.875


def _text_encoder(sizes: Sizes, vocabulary: int) -> Any:
    from transformers import UMT5Config, UMT5EncoderModel

    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocabulary,
            d_model=sizes.text_dim,
            d_kv=max(_LEAST_HEAD, sizes.text_dim // _TEXT_HEADS),
            d_ff=2 * sizes.text_dim,
            num_layers=sizes.text_layers,
            num_heads=_TEXT_HEADS,
            feed_forward_proj="gated-gelu",
        )
    )


def _vae(sizes: Sizes) -> Any:
    from diffusers import AutoencoderKLWan

    if sizes.kind is not Kind.TI2V:
        return AutoencoderKLWan(base_dim=sizes.vae_dim)
    return AutoencoderKLWan(
        base_dim=sizes.vae_dim,
        decoder_base_dim=sizes.vae_decoder_dim or 2 * sizes.vae_dim,
        z_dim=_PATCHED_CHANNELS,
        is_residual=True,
        in_channels=12,
        out_channels=12,
        patch_size=2,
        scale_factor_spatial=16,
        latents_mean=[round(0.3 * math.sin(channel), 4) for channel in range(_PATCHED_CHANNELS)],
        latents_std=[round(1 + 0.4 * math.cos(channel), 4) for channel in range(_PATCHED_CHANNELS)],
    )


def _transformer(sizes: Sizes, latent_channels: int) -> Any:
    from diffusers import WanTransformer3DModel

    # beside the latents I2V sees a mask, a channel for each pixel frame of a latent frame, and the encoded image
    in_channels = 2 * latent_channels + 4 if sizes.kind is Kind.I2V else latent_channels
    return WanTransformer3DModel(
        in_channels=in_channels,
        out_channels=latent_channels,
        num_attention_heads=sizes.heads,
        attention_head_dim=sizes.head_dim,
        text_dim=sizes.text_dim,
        freq_dim=32,
        ffn_dim=sizes.ffn_dim,
        num_layers=sizes.layers,
    )


def _defaults(model_id: str, sizes: Sizes) -> dict[str, Any]:
    guidance = {Kind.T2V: (4.0, 3.0), Kind.I2V: (3.5, 3.5), Kind.TI2V: (5.0, None)}[sizes.kind]
    return {
        "id": model_id,
        "width": 64,
        "height": 64 if sizes.kind is Kind.TI2V else 48,
        "num_frames": 9,
        "fps": 8,
        "num_inference_steps": 4,
        "guidance_scale": guidance[0],
        **({"guidance_scale_2": guidance[1]} if sizes.experts == 2 else {}),
        "max_frames": 161,
        "max_pixel_frames": 832 * 480 * 33,
        "max_sequence_length": 64,
    }
