"""The decoder of AutoencoderKLWan, one chunk of latent frames at a time, its state passed in and out.

diffusers decodes latent frame by latent frame too, and keeps the last frames of every causal convolution's
input in a cache that grows from none to two frames. Here a cache always has two frames; the ones that do not
exist yet are zeros, which is what diffusers pads with. So one graph serves every chunk after the first, and a
chunk may have any number of latent frames.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.export import Dim
from torch.nn import functional

from export.family import Comparison
from export.forwards import replaced_forwards
from export.graph import Graph, Session
from export.load import load_diffusers

CACHED_FRAMES = 2
_FIRST = "first.onnx"
_NEXT = "next.onnx"


def load(folder: Path) -> nn.Module:
    from diffusers import AutoencoderKLWan

    return load_diffusers(AutoencoderKLWan, folder)


def decoder_graphs(vae: Any) -> list[Graph]:
    """The first chunk's graph and that of every later one."""
    decoder = StreamingDecoder(vae)
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(2, vae.config.z_dim, 1, 4, 6, generator=generator)
    later = torch.randn(2, vae.config.z_dim, 3, 4, 6, generator=generator)
    with torch.no_grad():
        _, *caches = decoder(first)
    sizes = {0: "batch", 3: "height", 4: "width"}
    cache_sizes = {0: "batch", 3: Dim.AUTO, 4: Dim.AUTO}
    count = range(len(caches))
    return [
        Graph(
            file=_FIRST,
            module=decoder,
            example=(first,),
            dynamic_shapes={"latents": sizes},
            inputs=["latents"],
            outputs=["frames", *(f"cache_{i}" for i in count)],
        ),
        Graph(
            file=_NEXT,
            module=decoder,
            example=(later, *caches),
            dynamic_shapes={"latents": {**sizes, 2: "frames"}, "caches": (cache_sizes,) * len(caches)},
            inputs=["latents", *(f"cache_in_{i}" for i in count)],
            outputs=["frames", *(f"cache_out_{i}" for i in count)],
        ),
    ]


def compare_decoder(vae: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    """Clips of several lengths, streamed in chunks of several lengths, against diffusers' own decode."""
    generator = torch.Generator().manual_seed(1)
    for batch, frames, height, width in ((1, 1, 8, 8), (2, 4, 6, 4), (1, 5, 5, 7)):
        latents = torch.randn(batch, vae.config.z_dim, frames, height, width, generator=generator)
        with torch.no_grad():
            expected = vae.decode(latents, return_dict=False)[0].numpy()
        for chunk in (1, 2, 5):
            decoded = _stream(sessions, latents.numpy(), chunk)
            yield Comparison(
                f"{batch} x {frames} x {height} x {width} latents in chunks of {chunk}",
                float(np.abs(decoded - expected).max()),
            )


def _stream(sessions: Mapping[str, Session], latents: NDArray[Any], chunk: int) -> NDArray[Any]:
    frames, *caches = sessions[_FIRST].run(latents[:, :, :1])
    decoded = [frames]
    for start in range(1, latents.shape[2], chunk):
        frames, *caches = sessions[_NEXT].run(latents[:, :, start : start + chunk], *caches)
        decoded.append(frames)
    return np.concatenate(decoded, axis=2)


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
        carried = _Carried(caches)
        with replaced_forwards(dict(_streaming_forwards(self.vae.decoder, carried))):
            frames = self.vae.decoder(self.vae.post_quant_conv(latents), first_chunk=carried.first)
        if self.vae.config.patch_size is not None:
            frames = _unpatchify(frames, self.vae.config.patch_size)
        return frames.clamp(-1.0, 1.0), *carried.after


class _Carried:
    """The caches of one call, in the order in which the decoder's layers run."""

    def __init__(self, caches: Iterable[Tensor]) -> None:
        self._before = list(caches)
        self.first = not self._before
        self.after: list[Tensor] = []

    def extend(self, x: Tensor) -> Tensor:
        """Put the cached frames before those of `x`, and cache the last of both."""
        before = torch.zeros_like(x[:, :, :1]).expand(-1, -1, CACHED_FRAMES, -1, -1)
        if not self.first:
            before = self._before[len(self.after)]
        extended = torch.cat([before, x], dim=2)
        self.after.append(extended[:, :, -CACHED_FRAMES:])
        return extended

    def start(self, x: Tensor) -> None:
        """Cache zeros for a layer that the first chunk skips."""
        self.after.append(torch.zeros_like(x).expand(-1, -1, CACHED_FRAMES, -1, -1))


def _streaming_forwards(decoder: nn.Module, carried: _Carried) -> Iterator[tuple[nn.Module, Callable[..., Tensor]]]:
    """Every layer that looks at more than one frame, and what computes it from the carried state."""
    for layer in decoder.modules():
        # diffusers' causal convolutions keep their padding, (width, width, height, height, frames, 0), apart
        padding = getattr(layer, "_padding", None)
        if isinstance(layer, nn.Conv3d) and padding is not None and padding[4] == CACHED_FRAMES:
            yield layer, partial(_convolve, layer, carried)
        elif getattr(layer, "mode", None) == "upsample3d":
            yield layer, partial(_upsample, layer, type(layer).forward, carried)


def _convolve(convolution: Any, carried: _Carried, x: Tensor) -> Tensor:
    spatial = convolution._padding[:4]
    return nn.Conv3d.forward(convolution, functional.pad(carried.extend(x), (*spatial, 0, 0)))


def _upsample(resample: Any, upsample_space: Callable[..., Tensor], carried: _Carried, x: Tensor) -> Tensor:
    """Double the frames, except the first of a clip, and then height and width."""
    if carried.first:
        carried.start(x)
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
