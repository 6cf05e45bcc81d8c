"""Frames are quantised exactly as diffusers' VideoProcessor does it."""

import numpy as np
import torch
from diffusers.video_processor import VideoProcessor

from pipelines.frames import to_uint8, to_unit_range


def test_equal_to_diffusers() -> None:
    decoded = torch.randn(1, 3, 5, 16, 24, generator=torch.Generator().manual_seed(0))  # beyond -1..1 too
    expected = VideoProcessor(vae_scale_factor=8).postprocess_video(decoded, output_type="np")[0]

    images = to_unit_range(decoded)

    np.testing.assert_allclose(images.numpy(), expected, atol=1e-7)
    np.testing.assert_array_equal(to_uint8(images), (expected * 255).round().astype(np.uint8))


def test_every_level_is_reached() -> None:
    levels = torch.arange(256) / 255
    np.testing.assert_array_equal(to_uint8(levels), np.arange(256))
