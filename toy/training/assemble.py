"""A trained checkpoint as a folder in diffusers' layout, in float16 safetensors, with defaults.json."""

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from toy.training.flow import BOUNDARY, TIMESTEPS

DEFAULTS_FILE = "defaults.json"
"""what the checkpoint says about its own use (see `export.defaults`)"""


def flow_scheduler(shift: float) -> Any:
    """The UniPC scheduler of Wan2.2's checkpoints."""
    from diffusers import UniPCMultistepScheduler

    return UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=TIMESTEPS, flow_shift=shift
    )


def text_to_video(vae: Any, text_encoder: Any, tokenizer: Any, transformers: tuple[Any, ...], shift: float) -> Any:
    """A `WanPipeline` of one transformer, or of the high-noise and the low-noise expert. It shares the modules."""
    from diffusers import WanPipeline

    return WanPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae,
        scheduler=flow_scheduler(shift),
        transformer=transformers[0],
        transformer_2=transformers[1] if len(transformers) == 2 else None,
        boundary_ratio=BOUNDARY if len(transformers) == 2 else None,
    )


def image_to_video(vae: Any, text_encoder: Any, tokenizer: Any, transformers: tuple[Any, ...], shift: float) -> Any:
    """As `text_to_video`, but a `WanImageToVideoPipeline` without an image encoder, as Wan2.2's are."""
    from diffusers import WanImageToVideoPipeline

    return WanImageToVideoPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae,
        scheduler=flow_scheduler(shift),
        transformer=transformers[0],
        transformer_2=transformers[1] if len(transformers) == 2 else None,
        boundary_ratio=BOUNDARY if len(transformers) == 2 else None,
        image_encoder=None,
        image_processor=None,
    )


def text_image_to_video(vae: Any, text_encoder: Any, tokenizer: Any, transformer: Any, shift: float) -> Any:
    """A `WanPipeline` with a timestep per token, as Wan2.2-TI2V-5B is published."""
    from diffusers import WanPipeline

    return WanPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae,
        scheduler=flow_scheduler(shift),
        transformer=transformer,
        transformer_2=None,
        expand_timesteps=True,
    )


def for_inference(transformer: Any) -> Any:
    """A copy of a transformer in training with diffusers' own cross-attention."""
    from diffusers.models.transformers.transformer_wan import WanAttnProcessor

    copied = copy.deepcopy(transformer).eval().requires_grad_(False)
    for block in copied.blocks:
        block.attn2.set_processor(WanAttnProcessor())
    return copied


def save_checkpoint(pipeline: Any, folder: Path, defaults: Mapping[str, object]) -> None:
    """Writes the pipeline in float16, and the defaults; the pipeline itself becomes float16."""
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    for path in folder.glob("*/config.json"):
        config = json.loads(path.read_text())
        config.pop("_name_or_path", None)  # a folder of the machine that trained it
        path.write_text(json.dumps(config, indent=2) + "\n")
    (folder / DEFAULTS_FILE).write_text(json.dumps(dict(defaults), indent=2) + "\n")
