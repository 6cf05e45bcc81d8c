"""The decoder of AutoencoderKLQwenImage for pictures: one latent frame.

A causal convolution over three frames sees the picture after two frames of zeros, so it is a two-dimensional one
with the last third of the weights. That is how it is exported: a third of the work, and of the file.
"""

import copy
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from export.family import Comparison
from export.graph import Graph, Session
from export.load import load_diffusers

_FILE = "model.onnx"


def load(folder: Path) -> nn.Module:
    from diffusers import AutoencoderKLQwenImage

    return load_diffusers(AutoencoderKLQwenImage, folder)


def graphs(vae: Any) -> list[Graph]:
    return [
        Graph(
            file=_FILE,
            module=PictureDecoder(vae),
            example=(_latents(vae, torch.Generator().manual_seed(0), batch=2, size=(4, 6)),),
            dynamic_shapes={"latents": {0: "batch", 3: "height", 4: "width"}},
            inputs=["latents"],
            outputs=["frames"],
        )
    ]


def compare(vae: Any, sessions: Mapping[str, Session]) -> Iterator[Comparison]:
    generator = torch.Generator().manual_seed(1)
    for batch, size in ((1, (2, 2)), (2, (6, 8)), (3, (5, 7)), (1, (24, 16))):
        latents = _latents(vae, generator, batch, size)
        with torch.no_grad():
            expected = vae.decode(latents, return_dict=False)[0].numpy()
        (frames,) = sessions[_FILE].run(latents.numpy())
        height, width = size
        yield Comparison(f"{batch} x {height} x {width} latents", float(np.abs(frames - expected).max()))


def _latents(vae: Any, generator: torch.Generator, batch: int, size: tuple[int, int]) -> Tensor:
    return torch.randn(batch, vae.config.z_dim, 1, *size, generator=generator)


class PictureDecoder(nn.Module):
    """A copy of an AutoencoderKLQwenImage's decoder that has two-dimensional convolutions."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.post_quant_conv = copy.deepcopy(vae.post_quant_conv)
        self.decoder = copy.deepcopy(vae.decoder)
        for path, layer in list(self.named_modules()):
            if isinstance(layer, nn.Conv3d):
                self.set_submodule(path, _PictureConvolution(layer))

    def forward(self, latents: Tensor) -> Tensor:
        """float32 [batch, channels, 1, height, width], denormalised -> [batch, 3, 1, 8 * height, 8 * width], -1..1"""
        # without a feature cache diffusers' decoder leaves the steps out that double the frames
        frames: Tensor = self.decoder(self.post_quant_conv(latents))
        return frames.clamp(-1.0, 1.0)


class _PictureConvolution(nn.Module):
    """What a QwenImageCausalConv3d computes for the first frame of a clip."""

    def __init__(self, causal: Any) -> None:
        super().__init__()
        height, width = causal._padding[2], causal._padding[0]
        _, *kernel = causal.kernel_size
        self.convolution = nn.Conv2d(causal.in_channels, causal.out_channels, tuple(kernel), padding=(height, width))
        self.convolution.load_state_dict({"weight": causal.weight[:, :, -1], "bias": causal.bias})

    def forward(self, x: Tensor) -> Tensor:
        """[batch, channels, 1, height, width] -> the same, with other channels"""
        return self.convolution(x.squeeze(2)).unsqueeze(2)  # type: ignore[no-any-return]
