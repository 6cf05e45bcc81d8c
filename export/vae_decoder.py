"""The decoder that AutoencoderKLWan and AutoencoderKLQwenImage have in common."""

from typing import Any

from export.vae_graphs import Half
from export.vae_layers import Features, VaeLayers


def decoder_half(vae: Any, spatial_stride: int, temporal_stride: int, patch: int | None, streams: bool) -> Half:
    """Denormalised latents -> frames, which are clamped to -1..1.

    Args:
        patch: pixels a side that the network gives at once.
        streams: takes videos, and not images only.
    """
    decoder = vae.decoder

    def middle(layers: VaeLayers, latents: Features) -> Features:
        x = layers.convolve(decoder.conv_in, layers.convolve(vae.post_quant_conv, latents))
        return middle_block(layers, decoder.mid_block, x)

    def bands(layers: VaeLayers, x: Features) -> Features:
        for block in decoder.up_blocks:
            x = _up_block(layers, block, x)
        x = layers.convolve(decoder.conv_out, layers.activate(layers.normalise(decoder.norm_out, x)))
        if patch is not None:
            x = layers.patches_to_pixels(x, patch)
        return x

    return Half(
        encodes=False,
        middle=middle,
        bands=bands,
        channels=vae.config.z_dim,
        feature_channels=decoder.conv_in.out_channels,
        spatial_stride=spatial_stride,
        temporal_stride=temporal_stride,
        streams=streams,
    )


def middle_block(layers: VaeLayers, block: Any, x: Features) -> Features:
    """Residual blocks with attention between them, of a decoder or an encoder."""
    x = layers.residual_block(block.resnets[0], x)
    for attention, resnet in zip(block.attentions, block.resnets[1:], strict=True):
        x = layers.residual_block(resnet, layers.attention(attention, x))
    return x


def _up_block(layers: VaeLayers, block: Any, x: Features) -> Features:
    y = x
    for resnet in block.resnets:
        y = layers.residual_block(resnet, y)
    upsampler = block.upsampler if hasattr(block, "upsampler") else next(iter(block.upsamplers or ()), None)
    if upsampler is not None:
        y = layers.upsample(upsampler, y)
    shortcut = getattr(block, "avg_shortcut", None)
    return y if shortcut is None else layers.add(y, layers.repeat(shortcut, x, beside=y))
