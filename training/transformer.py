"""The toy Wan transformer: its size, its first values, and its widening for image-to-video."""

from typing import Any

import torch

LATENT_CHANNELS = 16
MASK_CHANNELS = 4
"""one a pixel frame of a latent frame: is it given? (diffusers' WanImageToVideoPipeline)"""


def wan_transformer(text_dim: int, channels: int = LATENT_CHANNELS, in_channels: int | None = None) -> Any:
    """A `WanTransformer3DModel` of 1.8 M parameters, ready to be trained from nothing.

    Args:
        channels: of the latents
        in_channels: of the input, where it is more than latents
    """
    from diffusers import WanTransformer3DModel

    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=4,
        attention_head_dim=32,
        in_channels=in_channels or channels,
        out_channels=channels,
        text_dim=text_dim,
        freq_dim=64,
        ffn_dim=512,
        num_layers=6,
        rope_max_seq_len=256,
    )
    with torch.no_grad():
        # Begin near the mean prediction, with small gates (compare adaLN-Zero of DiT).
        transformer.proj_out.weight.zero_()
        transformer.proj_out.bias.zero_()
        transformer.condition_embedder.time_proj.weight.mul_(0.3)
        transformer.condition_embedder.time_proj.bias.zero_()
    return transformer


def with_image_input(transformer: Any) -> Any:
    """A copy that takes noise, mask and encoded image (16 + 4 + 16 channels), and at first ignores the last two."""
    config = dict(transformer.config)
    channels = config["out_channels"]
    config["in_channels"] = 2 * channels + MASK_CHANNELS
    widened = type(transformer).from_config(config)
    weights = transformer.state_dict()
    patches = torch.zeros_like(widened.patch_embedding.weight)
    patches[:, :channels] = weights["patch_embedding.weight"]
    widened.load_state_dict({**weights, "patch_embedding.weight": patches})
    return widened
