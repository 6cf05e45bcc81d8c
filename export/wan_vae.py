"""The decoder of AutoencoderKLWan, one chunk of latent frames at a time; see `export.causal_cache`."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.causal_cache import CarriedCaches, causal_convolutions, stream, streaming_graphs
from export.family import Comparison
from export.forwards import replaced_forwards
from export.graph import Graph, Session
from export.load import load_diffusers


def load(folder: Path) -> nn.Module:
    from diffusers import AutoencoderKLWan

    return load_diffusers(AutoencoderKLWan, folder)


def decoder_graphs(vae: Any) -> list[Graph]:
    """The first chunk's graph and that of every later one."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(2, vae.config.z_dim, 1, 4, 6, generator=generator)
    later = torch.randn(2, vae.config.z_dim, 3, 4, 6, generator=generator)
    return streaming_graphs(StreamingDecoder(vae), first, later, source="latents", result="frames")


def compare_decoder(vae: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    """Clips of several lengths, streamed in chunks of several lengths, against diffusers' own decode."""
    generator = torch.Generator().manual_seed(1)
    for batch, frames, height, width in ((1, 1, 8, 8), (2, 4, 6, 4), (1, 5, 5, 7)):
        latents = torch.randn(batch, vae.config.z_dim, frames, height, width, generator=generator)
        with torch.no_grad():
            expected = vae.decode(latents, return_dict=False)[0].numpy()
        for chunk in (1, 2, 5):
            decoded = stream(sessions, latents.numpy(), chunk)
            yield Comparison(
                f"{batch} x {frames} x {height} x {width} latents in chunks of {chunk}",
                float(np.abs(decoded - expected).max()),
            )


class StreamingDecoder(nn.Module):
    """Decodes the first chunk of a clip when it is given no caches, and a later one when it is."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, latents: Tensor, *caches: Tensor) -> tuple[Tensor, ...]:
        """Decode one chunk.

        Args:
            latents: float32 [batch, channels, frames, height, width], denormalised. The first chunk of a clip
                has one frame.
            caches: what the call before returned after the frames; none for the first chunk.

        Returns:
            The frames, float32 [batch, 3, frames', height * stride, width * stride], -1..1, and then the caches,
            each [batch, channels, 2, height', width']. frames' is 1 for the first chunk, else frames * stride.
        """
        carried = CarriedCaches(caches)
        with replaced_forwards(dict(_streaming_forwards(self.vae.decoder, carried))):
            frames = self.vae.decoder(self.vae.post_quant_conv(latents), first_chunk=carried.first)
        if self.vae.config.patch_size is not None:
            frames = _unpatchify(frames, self.vae.config.patch_size)
        return frames.clamp(-1.0, 1.0), *carried.after


def _streaming_forwards(
    decoder: nn.Module, carried: CarriedCaches
) -> Iterator[tuple[nn.Module, Callable[..., Tensor]]]:
    """Every layer that looks at more than one frame, and what computes it from the carried state."""
    yield from causal_convolutions(decoder, carried)
    for layer in decoder.modules():
        if getattr(layer, "mode", None) == "upsample3d":
            yield layer, partial(_upsample, layer, type(layer).forward, carried)


def _upsample(resample: Any, upsample_space: Callable[..., Tensor], carried: CarriedCaches, x: Tensor) -> Tensor:
    """Double the frames, except the first of a clip, and then height and width."""
    if carried.first:
        carried.keep_zeros(x)
    else:
        batch, channels, frames, height, width = x.shape
        pairs = resample.time_conv(x).reshape(batch, 2, channels, frames, height, width)
        x = torch.stack((pairs[:, 0], pairs[:, 1]), dim=3).reshape(batch, channels, frames * 2, height, width)
    # without a feature cache diffusers' own forward does the spatial part only
    return upsample_space(resample, x)


def _unpatchify(frames: Tensor, patch: int) -> Tensor:
    """[batch, channels * patch * patch, frames, h, w] -> [batch, channels, frames, h * patch, w * patch]"""
    batch, _, count, height, width = frames.shape
    tiles = frames.reshape(batch, -1, patch, patch, count, height, width).permute(0, 1, 4, 5, 3, 6, 2)
    return tiles.reshape(batch, -1, count, height * patch, width * patch)
