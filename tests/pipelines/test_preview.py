import numpy as np
import torch

from pipelines.preview import draw_preview
from runtime.latent_colours import LatentColours

COLOURS = LatentColours(weights=((0.1, 0.0, 0.0), (0.0, 0.2, 0.0)), bias=(0.0, 0.0, 1.0))


def test_a_preview_is_the_frame_in_the_middle_a_pixel_per_cell() -> None:
    latents = torch.zeros(1, 2, 5, 2, 3)
    latents[:, :, 2, 0, 1] = torch.tensor([2.0, 1.0])
    pixels = draw_preview(latents, COLOURS)
    assert pixels.shape == (2, 3, 3)
    assert pixels.dtype == np.uint8
    assert pixels[0, 1].tolist() == [51, 51, 255]
    assert pixels[1, 2].tolist() == [0, 0, 255]


def test_what_is_beyond_black_and_white_is_cut_off() -> None:
    latents = torch.tensor([100.0, -100.0]).view(1, 2, 1, 1, 1)
    assert draw_preview(latents, COLOURS)[0, 0].tolist() == [255, 0, 255]
