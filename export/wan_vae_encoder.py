"""The encoder of AutoencoderKLWan, one chunk of pixel frames at a time; see `export.causal_cache`."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.causal_cache import CarriedCaches, causal_convolutions, stream, streaming_graphs
from export.family import Comparison
from export.forwards import replaced_forwards
from export.graph import Graph, Session


def encoder_graphs(vae: Any) -> list[Graph]:
    """The first chunk's graph, of one frame, and that of every later one, of a multiple of the temporal stride."""
    generator = torch.Generator().manual_seed(0)
    first = _clip(vae, generator, batch=2, frames=1, size=(4, 6))
    later = _clip(vae, generator, batch=2, frames=2 * vae.config.scale_factor_temporal, size=(4, 6))
    return streaming_graphs(StreamingEncoder(vae), first, later, source="frames", result="latents")


def compare_encoder(vae: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    """Clips of several lengths, streamed in chunks of several lengths, against diffusers' own encode."""
    generator = torch.Generator().manual_seed(1)
    stride = vae.config.scale_factor_temporal
    for batch, latent_frames, size in ((1, 1, (8, 8)), (2, 4, (6, 4)), (1, 5, (5, 7))):
        clip = _clip(vae, generator, batch, (latent_frames - 1) * stride + 1, size)
        with torch.no_grad():
            expected = vae.encode(clip).latent_dist.mode().numpy()
        for chunk in (stride, 2 * stride, 5 * stride):
            encoded = stream(sessions, clip.numpy(), chunk)
            yield Comparison(
                f"{' x '.join(map(str, clip.shape))} frames in chunks of {chunk}",
                float(np.abs(encoded - expected).max()),
            )


def _clip(vae: Any, generator: torch.Generator, batch: int, frames: int, size: tuple[int, int]) -> Tensor:
    """Random pixels, -1..1, of so many latents a side."""
    height, width = (side * vae.config.scale_factor_spatial for side in size)
    return 2 * torch.rand(batch, 3, frames, height, width, generator=generator) - 1


class StreamingEncoder(nn.Module):
    """Encodes the first chunk of a clip when it is given no caches, and a later one when it is."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, frames: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        """Encode one chunk.

        Args:
            frames: float32 [batch, 3, frames, height, width], -1..1: one frame in the first chunk of a clip, a
                multiple of the temporal stride in every later one.
            caches: what the call before returned after the latents; none for the first chunk.

        Returns:
            The mode of the posterior, float32 [batch, channels, frames', height / stride, width / stride], not
            normalised, and then the caches, each [batch, channels, 1 or 2, height', width'].
        """
        carried = CarriedCaches(caches)
        if self.vae.config.patch_size is not None:
            frames = _patchify(frames, self.vae.config.patch_size)
        with replaced_forwards(dict(_streaming_forwards(self.vae.encoder, carried))):
            moments = self.vae.quant_conv(self.vae.encoder(frames))
        mean, _ = moments.chunk(2, dim=1)
        return mean, *carried.after


def _streaming_forwards(
    encoder: nn.Module, carried: CarriedCaches
) -> Iterator[tuple[nn.Module, Callable[..., Tensor]]]:
    """Every layer that looks at more than one frame, and what computes it from the carried state."""
    yield from causal_convolutions(encoder, carried)
    for layer in encoder.modules():
        if getattr(layer, "mode", None) == "downsample3d":
            yield layer, partial(_downsample, layer, type(layer).forward, carried)


def _downsample(
    resample: Any, downsample_space: Callable[..., Tensor], carried: CarriedCaches, x: Tensor, **unused: Any
) -> Tensor:
    """Halve height and width, and then the frames, except the first of a clip.

    Args:
        unused: diffusers' own, empty feature cache.
    """
    # without a feature cache diffusers' own forward does the spatial part only
    x = downsample_space(resample, x)
    if carried.first:
        carried.keep(x)
        return x
    halved: Tensor = resample.time_conv(carried.extend(x, frames=1))
    return halved


def _patchify(frames: Tensor, patch: int) -> Tensor:
    """[batch, channels, frames, h * patch, w * patch] -> [batch, channels * patch * patch, frames, h, w]"""
    batch, channels, count, height, width = frames.shape
    tiles = frames.reshape(batch, channels, count, height // patch, patch, width // patch, patch)
    return tiles.permute(0, 1, 6, 4, 2, 3, 5).reshape(batch, -1, count, height // patch, width // patch)
