"""The toy Wan transformer: its size, its first values, and its widening for image-to-video."""

from typing import Any

import torch

LATENT_CHANNELS = 16
MASK_CHANNELS = 4
"""one per pixel frame of a latent frame: is it given? (diffusers' WanImageToVideoPipeline)"""


def wan_transformer(text_dim: int, channels: int = LATENT_CHANNELS, *, heads: int = 4, layers: int = 6) -> Any:
    """A `WanTransformer3DModel` ready to be trained from nothing; by default of 1.8 M parameters.

    Args:
        channels: of the latents; a token is 2 x 2 of them, and its velocity has all their noise in it
        heads: of 32 numbers each; together more than a token has, or the noise does not get through and stays
    """
    from diffusers import WanTransformer3DModel

    transformer = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=heads,
        attention_head_dim=32,
        in_channels=channels,
        out_channels=channels,
        text_dim=text_dim,
        freq_dim=64,
        ffn_dim=512,
        num_layers=layers,
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
