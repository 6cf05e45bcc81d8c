"""The decoder of AutoencoderKLQwenImage for images, which are videos of one latent frame; see `export.vae_graphs`."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from export.band_plan import band_plan
from export.family import Comparison
from export.graph import BuiltGraph, Session
from export.latent_colours import fit_colours
from export.load import load_diffusers
from export.options import Form, Precision
from export.vae_comparison import compare_streams
from export.vae_decoder import decoder_half
from export.vae_graphs import Half, half_graphs
from runtime.bands import BandPlan
from runtime.latent_colours import LatentColours

_SPATIAL_STRIDE = 8
_TEMPORAL_STRIDE = 4


def load(folder: Path, precision: Precision = Precision.FLOAT32) -> nn.Module:
    from diffusers import AutoencoderKLQwenImage

    return load_diffusers(AutoencoderKLQwenImage, folder, precision)


def decoder(vae: Any) -> Half:
    return decoder_half(vae, _SPATIAL_STRIDE, _TEMPORAL_STRIDE, patch=None, streams=False)


def graphs(vae: Any, form: Form = Form()) -> list[BuiltGraph]:  # noqa: B008 - frozen
    return half_graphs(decoder(vae), form)


def plan(vae: Any) -> BandPlan:
    return band_plan(decoder(vae))


def colours(vae: Any) -> LatentColours:
    return fit_colours(vae, _SPATIAL_STRIDE)


def compare(vae: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    """Images of several sizes, whole and cut, against diffusers' decode."""
    generator = torch.Generator().manual_seed(1)
    bands = plan(vae)
    for batch, height, width in ((1, 2, 2), (2, 6, 8), (3, 5, 7), (1, bands.lead + 7, 5)):
        latents = torch.randn(batch, vae.config.z_dim, 1, height, width, generator=generator)
        with torch.no_grad():
            expected = vae.decode(latents.to(vae.dtype), return_dict=False)[0].float().numpy()
        yield from compare_streams(bands, sessions, latents.numpy(), expected, chunks=(1,))
