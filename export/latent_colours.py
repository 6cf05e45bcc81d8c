"""Fits the colours of a VAE's latents: how its own encoder sees drawn images.

They are the rough images that a job shows while it is sampled, for a thousandth of what the decoder takes. The first
latent frame of a video, which stands for one frame, and the later ones differ too little to matter.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from runtime.latent_colours import LatentColours

IMAGES = 16
CELLS = 6
"""of an image, a side: latent pixels"""
_SEED = 2026
_RIDGE = 1e-3
"""relative to the variance of each channel: keeps the fit apart from noise where channels say the same thing"""
_DECIMALS = 4
"""which leave out what computing with another number of threads changes"""

Float32 = NDArray[np.float32]


def fit_colours(vae: Any, spatial_stride: int) -> LatentColours:
    """The map with the least squared error on drawn images.

    Args:
        vae: AutoencoderKLWan or AutoencoderKLQwenImage in float32.
        spatial_stride: pixels of a latent cell, a side.
    """
    samples = [cells(vae, image[np.newaxis]) for image in drawn_images(_SEED, IMAGES, CELLS * spatial_stride)]
    latents, colours = (np.concatenate(values).astype(np.float64) for values in zip(*samples, strict=True))
    inputs = np.column_stack([latents, np.ones(len(latents))])
    penalty = _RIDGE * len(inputs) * np.diag(inputs.var(axis=0))  # of the constant 0: nothing pulls the bias to black
    found = np.linalg.solve(inputs.T @ inputs + penalty, inputs.T @ colours).round(_DECIMALS)
    *weights, bias = ((red, green, blue) for red, green, blue in found.tolist())
    return LatentColours(weights=tuple(weights), bias=bias)


def cells(vae: Any, video: Float32) -> tuple[Float32, Float32]:
    """The latent cells of a video, float32 [frames, height, width, RGB] in 0..1, and the colours that they stand for.

    Returns:
        [cells, channels], normalised as the transformer sees them, and [cells, RGB] in 0..1, frame by frame.
    """
    pixels = torch.from_numpy(video).permute(3, 0, 1, 2)[None]
    with torch.no_grad():
        encoded = vae.encode(2 * pixels - 1).latent_dist.mode()[0]
    mean, std = (torch.tensor(values).view(-1, 1, 1, 1) for values in (vae.config.latents_mean, vae.config.latents_std))
    latents = (encoded - mean) / std
    count, height, width = latents.shape[1:]
    spans = np.split(video[1:], count - 1) if count > 1 else []
    colours = [_shrunk(span.mean(axis=0), height, width) for span in (video[:1], *spans)]
    return latents.flatten(1).T.numpy(), np.stack(colours).reshape(-1, 3)


def drawn_images(seed: int, count: int, side: int) -> Iterator[Float32]:
    """Gradients with discs and boxes on them, some with noise, and some of one flat colour.

    Yields:
        float32 [side, side, RGB], 0..1.
    """
    for number in range(count):
        yield _drawn(np.random.default_rng([seed, number]), side, is_flat=number % 4 == 0)


def _drawn(rng: np.random.Generator, side: int, is_flat: bool) -> Float32:
    rows, columns = np.mgrid[:side, :side] / side
    image = np.broadcast_to(rng.uniform(size=3), (side, side, 3)).copy()
    if not is_flat:
        slope_y, slope_x = rng.normal(0, 0.7, size=(2, 3))
        image += (rows - 0.5)[..., None] * slope_y + (columns - 0.5)[..., None] * slope_x
        for _ in range(rng.integers(2, 7)):
            y, x, radius = *rng.uniform(size=2), rng.uniform(0.06, 0.3)
            exponent = rng.choice([2, 8])  # a disc or a box
            inside = np.abs((rows - y) / radius) ** exponent + np.abs((columns - x) / radius) ** exponent < 1
            image[inside] = rng.uniform(size=3)
        image += rng.choice([0, 0.02, 0.1]) * rng.standard_normal(image.shape)
    return np.clip(image, 0, 1).astype(np.float32)


def _shrunk(image: Float32, height: int, width: int) -> Float32:
    """The mean of each cell."""
    rows, columns = image.shape[0] // height, image.shape[1] // width
    means: Float32 = image.reshape(height, rows, width, columns, 3).mean(axis=(1, 3))
    return means
