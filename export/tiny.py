"""Tiny Wan2.2 text-to-video checkpoints with random weights, in diffusers' own layout.

They make noise, quickly; parity with diffusers does not depend on what the weights are, and no parameter is left
at a value, such as a norm's 1, with which a graph that ignores it would be right as well.
"""

import json
import string
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import nn

from export.defaults import DEFAULTS_FILE
from export.quiet import quiet_libraries


@dataclass(frozen=True)
class Sizes:
    """What the layouts differ in."""

    experts: int
    heads: int
    head_dim: int
    layers: int
    ffn_dim: int
    text_dim: int
    text_layers: int
    vae_dim: int
    flow_shift: float


class LayoutName(StrEnum):
    TWO_EXPERTS = "two-experts"
    ONE_EXPERT = "one-expert"
    WIDE = "wide"


SIZES = {
    LayoutName.TWO_EXPERTS: Sizes(2, 2, 24, 2, 64, 32, 2, 8, 3.0),
    LayoutName.ONE_EXPERT: Sizes(1, 3, 16, 3, 48, 24, 1, 4, 5.0),
    LayoutName.WIDE: Sizes(2, 4, 32, 2, 256, 64, 2, 12, 12.0),
}

_TEXT_HEADS = 4
_WORDS = [
    "a",
    "an",
    "the",
    "red",
    "green",
    "blue",
    "circle",
    "square",
    "triangle",
    "cat",
    "dog",
    "moves",
    "walks",
    "left",
    "right",
    "up",
    "down",
    "on",
    "in",
    "grass",
    "sun",
]


def build(folder: Path, layout: LayoutName = LayoutName.TWO_EXPERTS, seed: int = 0) -> None:
    """Write the checkpoint of that layout; the same seed gives the same files.

    Raises:
        FileExistsError: when `folder` exists and is not empty.
    """
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
    from transformers import UMT5Config, UMT5EncoderModel

    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    sizes = SIZES[layout]
    tokenizer = _tokenizer()
    transformers = [
        WanTransformer3DModel(
            num_attention_heads=sizes.heads,
            attention_head_dim=sizes.head_dim,
            text_dim=sizes.text_dim,
            freq_dim=32,
            ffn_dim=sizes.ffn_dim,
            num_layers=sizes.layers,
        )
        for _ in range(sizes.experts)
    ]
    text_encoder = UMT5EncoderModel(
        UMT5Config(
            vocab_size=len(tokenizer),
            d_model=sizes.text_dim,
            d_kv=sizes.text_dim // _TEXT_HEADS,
            d_ff=2 * sizes.text_dim,
            num_layers=sizes.text_layers,
            num_heads=_TEXT_HEADS,
            feed_forward_proj="gated-gelu",
        )
    )
    vae = AutoencoderKLWan(base_dim=sizes.vae_dim)
    for number, module in enumerate([text_encoder, vae, *transformers]):
        _randomise(module, torch.Generator().manual_seed(16 * seed + number))
    WanPipeline(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=vae,
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=sizes.flow_shift
        ),
        transformer=transformers[0],
        transformer_2=transformers[1] if sizes.experts == 2 else None,
        boundary_ratio=0.875 if sizes.experts == 2 else None,
    ).save_pretrained(folder)
    (folder / DEFAULTS_FILE).write_text(json.dumps(_defaults(layout), indent=2) + "\n")


def _defaults(layout: LayoutName) -> dict[str, Any]:
    return {
        "id": f"tiny-{layout}",
        "width": 64,
        "height": 48,
        "num_frames": 9,
        "fps": 8,
        "num_inference_steps": 4,
        "guidance_scale": 4.0,
        **({"guidance_scale_2": 3.0} if SIZES[layout].experts == 2 else {}),
        "max_frames": 161,
        "max_pixel_frames": 832 * 480 * 33,
        "max_sequence_length": 64,
    }


def _randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Matrices that keep the scale of what goes through them, gains around 1 and small biases."""
    for name, parameter in sorted(module.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        gain = parameter.ndim == 1 or name.endswith("gamma")
        with torch.no_grad():
            if name.endswith("bias"):
                parameter.copy_(0.05 * noise)
            elif gain:
                parameter.copy_(1 + 0.1 * noise)
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)


def _tokenizer() -> Any:
    """A T5 tokenizer that knows a few words, and every printable ASCII character."""
    from transformers import T5Tokenizer

    characters = sorted(set(string.printable) - set(string.whitespace))
    vocabulary = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -20.0), ("▁", -4.0)]
    vocabulary += [(f"▁{word}", -3.0 - 0.01 * rank) for rank, word in enumerate(_WORDS)]
    vocabulary += [(character, -8.0) for character in characters]
    return T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=512)


def main(
    folder: Annotated[Path, typer.Argument(help="Folder to write; it must be empty or absent.")],
    layout: Annotated[LayoutName, typer.Option(help="Which of the checkpoints.")] = LayoutName.TWO_EXPERTS,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal files.")] = 0,
) -> None:
    """Write a tiny Wan2.2 text-to-video checkpoint with random weights, for trying out and testing an export.

    Example:

      python -m export.tiny run/tiny --layout wide --seed 1

      python -m export run/tiny --family wan_t2v --to run/repository
    """
    quiet_libraries()
    try:
        build(folder, layout, seed)
    except FileExistsError as error:
        raise typer.BadParameter(str(error), param_hint="FOLDER") from None


if __name__ == "__main__":
    typer.run(main)
