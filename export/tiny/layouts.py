"""The layouts by name."""

from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from export.tiny import qwen_image, wan


class LayoutName(StrEnum):
    TWO_EXPERTS = "two-experts"
    ONE_EXPERT = "one-expert"
    WIDE = "wide"
    I2V = "i2v"
    TI2V = "ti2v"
    QWEN_IMAGE = "qwen-image"


_WAN = {
    LayoutName.TWO_EXPERTS: wan.Sizes(
        experts=2, heads=2, head_dim=24, layers=2, ffn_dim=64, text_dim=32, vae_dim=8, flow_shift=3.0
    ),
    LayoutName.ONE_EXPERT: wan.Sizes(
        experts=1, heads=3, head_dim=16, layers=3, ffn_dim=48, text_dim=24, text_layers=1, vae_dim=4, flow_shift=5.0
    ),
    LayoutName.WIDE: wan.Sizes(
        experts=2, heads=4, head_dim=32, layers=2, ffn_dim=256, text_dim=64, vae_dim=12, flow_shift=12.0
    ),
    LayoutName.I2V: wan.Sizes(
        experts=2, heads=2, head_dim=24, layers=2, ffn_dim=64, text_dim=32, vae_dim=8, flow_shift=5.0, kind=wan.Kind.I2V
    ),
    LayoutName.TI2V: wan.Sizes(
        experts=1,
        heads=3,
        head_dim=16,
        layers=2,
        ffn_dim=48,
        text_dim=32,
        vae_dim=4,
        flow_shift=5.0,
        kind=wan.Kind.TI2V,
    ),
}


_REAL_VAE_DIM = 96
"""of Wan2.1's and Qwen-Image's"""
_REAL_TI2V_VAE_DIMS = (160, 256)
"""encoder, decoder"""


def build(folder: Path, layout: LayoutName = LayoutName.TWO_EXPERTS, seed: int = 0, has_real_vae: bool = False) -> None:
    """Write the checkpoint of that layout; the same seed gives the same files.

    Wan layouts of one seed whose text encoders or VAEs have the same sizes share them bit by bit.

    Args:
        has_real_vae: the VAE is as wide as the published one.

    Raises:
        FileExistsError: when `folder` exists and is not empty.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    if layout is LayoutName.QWEN_IMAGE:
        qwen_image.build(folder, seed, **({"vae_dim": _REAL_VAE_DIM} if has_real_vae else {}))
        return
    sizes = _WAN[layout]
    if has_real_vae:
        vae_dim, decoder_dim = _REAL_TI2V_VAE_DIMS if layout is LayoutName.TI2V else (_REAL_VAE_DIM, None)
        sizes = replace(sizes, vae_dim=vae_dim, vae_decoder_dim=decoder_dim)
    wan.build(folder, f"tiny-{layout}", sizes, seed)
