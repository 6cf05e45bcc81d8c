"""Noise levels are spread evenly over what a sampler visits, and the velocity leads from the video to the noise."""

import pytest
import torch

from toy.training.flow import ALL_NOISE, HIGH_NOISE, LOW_NOISE, NoiseRange, add_noise, draw_sigmas, losses


@pytest.mark.parametrize("noise", [ALL_NOISE, HIGH_NOISE, LOW_NOISE])
def test_sigmas_fill_their_range_in_order(noise: NoiseRange) -> None:
    sigmas = draw_sigmas(1000, noise, 3.0, torch.Generator().manual_seed(0))
    assert sigmas.shape == (1000,)
    assert sigmas.diff().min() >= 0
    assert noise.low <= sigmas[0] < noise.low + 0.01
    assert noise.high - 0.01 < sigmas[-1] <= noise.high


def test_sigmas_are_as_dense_as_a_shifted_schedule() -> None:
    sigmas = draw_sigmas(999, ALL_NOISE, 3.0, torch.Generator().manual_seed(0))
    # half of a schedule with shift 3 lies above 3 * 0.5 / (1 + 2 * 0.5)
    assert sigmas[499].item() == pytest.approx(0.75, abs=0.002)


def test_the_experts_share_all_levels_between_them() -> None:
    generator = torch.Generator().manual_seed(0)
    low, high = (draw_sigmas(100, noise, 3.0, generator) for noise in (LOW_NOISE, HIGH_NOISE))
    assert low.max() <= 0.875 <= high.min()


def test_one_step_along_the_velocity_reaches_the_video() -> None:
    clean, noise, sigmas = torch.randn(2, 16, 3, 4, 4), torch.randn(2, 16, 3, 4, 4), torch.tensor([0.25, 0.75])
    noisy = add_noise(clean, noise, sigmas)
    torch.testing.assert_close(noisy - sigmas.view(2, 1, 1, 1, 1) * (noise - clean), clean)
    assert losses(noise - clean, clean, noise).tolist() == [0, 0]
    assert losses(torch.zeros_like(clean), clean, noise).min() > 1


def test_a_level_a_frame() -> None:
    clean, noise = torch.zeros(2, 16, 3, 4, 4), torch.ones(2, 16, 3, 4, 4)
    levels = torch.tensor([[0.0, 0.5, 0.5], [0.0, 1.0, 1.0]]).view(2, 1, 3, 1, 1)
    noisy = add_noise(clean, noise, levels)
    assert noisy[:, :, 0].abs().max() == 0
    assert noisy[0, 0, 1, 0, 0] == 0.5
    assert noisy[1, 0, 2, 0, 0] == 1
