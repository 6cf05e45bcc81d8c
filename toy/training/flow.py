"""Flow matching: a video and noise lie on a straight line, and the model learns the direction along it.

noisy = (1 - sigma) * clean + sigma * noise; velocity = noise - clean; diffusers' `flow_prediction`, its timestep is
1000 * sigma.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

TIMESTEPS = 1000
BOUNDARY = 0.875
"""of sigma: above it the high-noise expert works, below it the low-noise one (Wan2.2-T2V-A14B)"""


@dataclass(frozen=True)
class NoiseRange:
    """The noise levels that a transformer learns: low <= sigma <= high."""

    low: float = 0.0
    high: float = 1.0


ALL_NOISE = NoiseRange()
HIGH_NOISE = NoiseRange(low=BOUNDARY)
LOW_NOISE = NoiseRange(high=BOUNDARY)


def draw_sigmas(count: int, noise: NoiseRange, shift: float, generator: torch.Generator) -> Tensor:
    """Noise levels, float32 [count], one in each of `count` equally likely parts of the range.

    They are as dense as a sampler's with that shift visits them: sigma = shift * u / (1 + (shift - 1) * u), u uniform.
    """
    low, high = (sigma / (shift - (shift - 1) * sigma) for sigma in (noise.low, noise.high))
    uniform = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    even = low + (high - low) * uniform
    return shift * even / (1 + (shift - 1) * even)


def add_noise(clean: Tensor, noise: Tensor, sigmas: Tensor) -> Tensor:
    """The points of the lines at sigmas, [batch]; or at [batch, 1, frames, 1, 1], a level per frame."""
    levels = sigmas.view(-1, *[1] * (clean.ndim - 1)) if sigmas.ndim == 1 else sigmas
    return (1 - levels) * clean + levels * noise


def losses(velocity: Tensor, clean: Tensor, noise: Tensor) -> Tensor:
    """Mean square errors, float32 [batch]."""
    return (velocity.float() - (noise - clean)).square().flatten(1).mean(1)
