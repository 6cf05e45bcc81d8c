"""The training passes compute what diffusers' chunked, cached ones do, for both layouts of the autoencoder."""

from typing import Any

import pytest
import torch
from diffusers import AutoencoderKLWan

from toy.training.vae_forward import decode, encode

SMALL: dict[str, Any] = {"base_dim": 8, "z_dim": 4, "dim_mult": [1, 2, 2, 2], "num_res_blocks": 1}
LAYOUTS: dict[str, dict[str, Any]] = {
    "wan2.1": SMALL,
    "wan2.2": SMALL | {"is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12},
}


@pytest.fixture(params=LAYOUTS)
def vae(request: pytest.FixtureRequest) -> AutoencoderKLWan:
    torch.manual_seed(0)
    return AutoencoderKLWan(**LAYOUTS[request.param])


def videos(frames: int) -> torch.Tensor:
    return torch.rand(2, 3, frames, 32, 48, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize("frames", [1, 5, 9, 17])
@torch.no_grad()
def test_encode_equals_diffusers(vae: AutoencoderKLWan, frames: int) -> None:
    posterior = vae.encode(videos(frames)).latent_dist
    mean, log_variance = encode(vae, videos(frames))
    torch.testing.assert_close(mean, posterior.mean, atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(log_variance, posterior.logvar, atol=2e-6, rtol=1e-5)


@pytest.mark.parametrize("frames", [1, 5, 9, 17])
@torch.no_grad()
def test_decode_equals_diffusers(vae: AutoencoderKLWan, frames: int) -> None:
    latents = encode(vae, videos(frames))[0]
    expected = vae.decode(latents).sample
    torch.testing.assert_close(decode(vae, latents).clamp(-1, 1), expected, atol=2e-5, rtol=1e-5)


def test_a_lone_frame_trains_every_weight_but_those_of_other_frames(vae: AutoencoderKLWan) -> None:
    mean, log_variance = encode(vae, videos(1))
    decode(vae, mean + log_variance).square().mean().backward()  # type: ignore[no-untyped-call]
    without = {name for name, p in vae.named_parameters() if p.grad is None}
    assert without == {name for name, _ in vae.named_parameters() if "time_conv" in name}
    gradient = vae.decoder.conv_in.weight.grad
    assert not gradient[:, :, :-1].any()
    assert gradient[:, :, -1].any()
