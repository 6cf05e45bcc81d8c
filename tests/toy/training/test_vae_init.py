"""A freshly initialised autoencoder passes signals on, and treats every frame as it would a lone one."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan

from toy.training.vae import LAYOUT, RESIDUAL_LAYOUT
from toy.training.vae_forward import decode, encode
from toy.training.vae_init import initialise


@pytest.fixture(scope="module")
def vae() -> AutoencoderKLWan:
    model = AutoencoderKLWan(**LAYOUT)
    initialise(model, torch.Generator().manual_seed(0))
    return model


def frame() -> torch.Tensor:
    return torch.rand(2, 3, 1, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("layout", [LAYOUT, RESIDUAL_LAYOUT])
@torch.no_grad()
def test_signals_keep_their_size(layout: Mapping[str, Any]) -> None:
    vae = AutoencoderKLWan(**layout)
    initialise(vae, torch.Generator().manual_seed(0))
    mean, log_variance = encode(vae, frame())
    assert 0.2 < mean.std() < 3
    assert log_variance.mean().item() == pytest.approx(-5, abs=0.5)
    assert 0.1 < decode(vae, mean).std() < 2


@torch.no_grad()
def test_a_standing_video_is_its_frame_repeated(vae: AutoencoderKLWan) -> None:
    video = frame().repeat(1, 1, 9, 1, 1)
    mean, _ = encode(vae, video)
    torch.testing.assert_close(mean, encode(vae, frame())[0].repeat(1, 1, 3, 1, 1), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(
        decode(vae, mean), decode(vae, encode(vae, frame())[0]).repeat(1, 1, 9, 1, 1), atol=1e-4, rtol=1e-4
    )


def test_the_seed_fixes_the_weights(vae: AutoencoderKLWan) -> None:
    again = AutoencoderKLWan(**LAYOUT)
    initialise(again, torch.Generator().manual_seed(0))
    assert all(torch.equal(a, b) for a, b in zip(vae.parameters(), again.parameters(), strict=True))
