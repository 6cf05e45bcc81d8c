"""The decoder of AutoencoderKLWan, one chunk of latent frames at a time; see `export.vae_graphs`."""

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


def load(folder: Path, precision: Precision = Precision.FLOAT32) -> nn.Module:
    from diffusers import AutoencoderKLWan

    return load_diffusers(AutoencoderKLWan, folder, precision)


def decoder(vae: Any) -> Half:
    config = vae.config
    return decoder_half(vae, config.scale_factor_spatial, config.scale_factor_temporal, config.patch_size, streams=True)


def decoder_graphs(vae: Any, form: Form = Form()) -> list[BuiltGraph]:  # noqa: B008 - frozen
    return half_graphs(decoder(vae), form)


def decoder_plan(vae: Any) -> BandPlan:
    return band_plan(decoder(vae))


def colours(vae: Any) -> LatentColours:
    return fit_colours(vae, vae.config.scale_factor_spatial)


def compare_decoder(vae: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    """Videos of several lengths, streamed in chunks of several lengths, whole and cut, against diffusers' decode."""
    generator = torch.Generator().manual_seed(1)
    plan = decoder_plan(vae)
    for batch, frames, height, width in ((1, 1, 8, 8), (2, 4, 6, 4), (1, 5, 5, 7), (1, 3, plan.lead + 7, 3)):
        latents = torch.randn(batch, vae.config.z_dim, frames, height, width, generator=generator)
        with torch.no_grad():
            expected = vae.decode(latents.to(vae.dtype), return_dict=False)[0].float().numpy()
        yield from compare_streams(plan, sessions, latents.numpy(), expected, (1, 2, 5))
