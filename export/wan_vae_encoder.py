"""The encoder of AutoencoderKLWan, one chunk of pixel frames at a time; see `export.vae_graphs`."""

from collections.abc import Iterator, Mapping
from typing import Any

import torch

from export.band_plan import band_plan
from export.errors import CheckpointError
from export.family import Comparison
from export.graph import BuiltGraph, Session
from export.options import Form
from export.vae_comparison import compare_streams
from export.vae_decoder import middle_block
from export.vae_graphs import Half, half_graphs
from export.vae_layers import Features, VaeLayers
from runtime.bands import BandPlan


def encoder(vae: Any) -> Half:
    """Frames, -1..1 -> the mode of the posterior, not normalised."""
    encoder, patch = vae.encoder, vae.config.patch_size

    def bands(layers: VaeLayers, x: Features) -> Features:
        if patch is not None:
            x = layers.pixels_to_patches(x, patch)
        x = layers.convolve(encoder.conv_in, x)
        for block in encoder.down_blocks:
            x = _down_block(layers, block, x)
        return x

    def middle(layers: VaeLayers, x: Features) -> Features:
        x = middle_block(layers, encoder.mid_block, x)
        x = layers.convolve(encoder.conv_out, layers.activate(layers.normalise(encoder.norm_out, x)))
        return layers.first_channels(layers.convolve(vae.quant_conv, x), vae.config.z_dim)

    return Half(
        encodes=True,
        middle=middle,
        bands=bands,
        channels=3,
        feature_channels=encoder.conv_out.in_channels,
        spatial_stride=vae.config.scale_factor_spatial,
        temporal_stride=vae.config.scale_factor_temporal,
    )


def _down_block(layers: VaeLayers, block: Any, x: Features) -> Features:
    """Of Wan2.1's VAE a layer, of Wan2.2's several beside a shortcut."""
    if hasattr(block, "avg_shortcut"):
        y = x
        for resnet in block.resnets:
            y = layers.residual_block(resnet, y)
        if block.downsampler is not None:
            y = layers.downsample(block.downsampler, y)
        return layers.add(y, layers.average(block.avg_shortcut, x, beside=y))
    if hasattr(block, "resample"):
        return layers.downsample(block, x)
    if hasattr(block, "conv_shortcut"):
        return layers.residual_block(block, x)
    raise CheckpointError(f"the VAE's encoder has a {type(block).__name__} where no known model has one")


def encoder_graphs(vae: Any, form: Form = Form()) -> list[BuiltGraph]:  # noqa: B008 - frozen
    return half_graphs(encoder(vae), form)


def encoder_plan(vae: Any) -> BandPlan:
    return band_plan(encoder(vae))


def compare_encoder(vae: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    """Videos of several lengths, streamed in chunks of several lengths, whole and cut, against diffusers' encode."""
    generator = torch.Generator().manual_seed(1)
    stride, plan = vae.config.scale_factor_temporal, encoder_plan(vae)
    for batch, latent_frames, size in ((1, 1, (8, 8)), (2, 4, (6, 4)), (1, 5, (5, 7)), (1, 3, (plan.lead + 7, 3))):
        height, width = (side * vae.config.scale_factor_spatial for side in size)
        frames = (latent_frames - 1) * stride + 1
        video = 2 * torch.rand(batch, 3, frames, height, width, generator=generator) - 1
        with torch.no_grad():
            expected = vae.encode(video.to(vae.dtype)).latent_dist.mode().float().numpy()
        yield from compare_streams(plan, sessions, video.numpy(), expected, (stride, 2 * stride, 5 * stride))
