"""The streaming decoder is diffusers' decode, one chunk at a time."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from export import wan_vae
from export.tiny import LayoutName, build
from export.wan_vae import StreamingDecoder


@pytest.fixture(scope="module")
def vae(tiny_checkpoint: Path) -> Any:
    return wan_vae.load(tiny_checkpoint / "vae")


def decode(vae: Any, latents: Tensor) -> Tensor:
    with torch.no_grad():
        frames: Tensor = vae.decode(latents, return_dict=False)[0]
    return frames


def stream(vae: Any, latents: Tensor, chunk: int) -> Tensor:
    decoder = StreamingDecoder(vae)
    with torch.no_grad():
        frames, *caches = decoder(latents[:, :, :1])
        decoded = [frames]
        for start in range(1, latents.shape[2], chunk):
            frames, *caches = decoder(latents[:, :, start : start + chunk], *caches)
            decoded.append(frames)
    return torch.cat(decoded, dim=2)


@pytest.mark.parametrize("batch", [1, 2])
def test_frame_by_frame_it_equals_diffusers_bit_by_bit(vae: Any, batch: int) -> None:
    latents = torch.randn(batch, 16, 5, 4, 6)
    assert torch.equal(stream(vae, latents, chunk=1), decode(vae, latents))


@pytest.mark.parametrize("chunk", [2, 3, 6])
def test_chunks_may_have_any_length(vae: Any, chunk: int) -> None:
    latents = torch.randn(1, 16, 7, 4, 4)
    torch.testing.assert_close(stream(vae, latents, chunk), decode(vae, latents), atol=1e-5, rtol=0)


def test_a_single_frame_is_an_image(vae: Any) -> None:
    latents = torch.randn(1, 16, 1, 4, 4)
    frames = stream(vae, latents, chunk=1)
    assert frames.shape == (1, 3, 1, 32, 32)
    assert torch.equal(frames, decode(vae, latents))


def test_caches_have_the_same_shapes_before_and_after_a_call(vae: Any) -> None:
    decoder = StreamingDecoder(vae)
    with torch.no_grad():
        _, *before = decoder(torch.randn(1, 16, 1, 4, 6))
        _, *after = decoder(torch.randn(1, 16, 3, 4, 6), *before)
    assert [cache.shape for cache in after] == [cache.shape for cache in before]
    assert {cache.shape[2] for cache in before} == {2}


def test_residual_patched_vaes_stream_too(tmp_path: Path) -> None:
    """The layout of Wan2.2-TI2V's VAE, which has average shortcuts and 2x2 pixel patches."""
    build(tmp_path / "tiny", LayoutName.TI2V)
    vae = wan_vae.load(tmp_path / "tiny" / "vae")
    latents = torch.randn(1, 48, 4, 4, 6)
    assert torch.equal(stream(vae, latents, chunk=1), decode(vae, latents))
