"""A checkpoint folder of this package, from which other checkpoints start."""

from pathlib import Path
from typing import Any

import torch

from toy.training.denoiser import Denoiser
from toy.training.device import best_device


def load_vae(folder: Path) -> Any:
    """The `AutoencoderKLWan` in the folder, in float32."""
    from diffusers import AutoencoderKLWan

    return AutoencoderKLWan.from_pretrained(folder, torch_dtype=torch.float32).eval().to(best_device())


def load_text_to_video(folder: Path, transformer: str) -> Denoiser:
    """One expert of toy-wan-t2v, `transformer` or `transformer_2`, with its text encoder, in float32."""
    from diffusers import WanTransformer3DModel
    from transformers import AutoTokenizer, UMT5EncoderModel

    return Denoiser(
        WanTransformer3DModel.from_pretrained(folder / transformer, torch_dtype=torch.float32),
        UMT5EncoderModel.from_pretrained(folder / "text_encoder", dtype=torch.float32),
        AutoTokenizer.from_pretrained(folder / "tokenizer"),
    )
