"""The streaming encoder is diffusers' encode, one chunk at a time; its result is the mode of the posterior."""

from typing import Any

import pytest
import torch
from torch import Tensor

from export import wan_vae
from export.tiny import LayoutName, build
from export.wan_vae_encoder import StreamingEncoder

STRIDES = {LayoutName.I2V: (16, 8), LayoutName.TI2V: (48, 16)}
"""layout -> latent channels, and pixels a latent"""


@pytest.fixture(scope="module", params=list(STRIDES))
def layout(request: pytest.FixtureRequest) -> LayoutName:
    name: LayoutName = request.param
    return name


@pytest.fixture(scope="module")
def vae(layout: LayoutName, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("checkpoints") / layout
    build(folder, layout)
    return wan_vae.load(folder / "vae")


def encode(vae: Any, clip: Tensor) -> Tensor:
    with torch.no_grad():
        latents: Tensor = vae.encode(clip).latent_dist.mode()
    return latents


def stream(vae: Any, clip: Tensor, chunk: int) -> Tensor:
    encoder = StreamingEncoder(vae)
    with torch.no_grad():
        latents, *caches = encoder(clip[:, :, :1])
        encoded = [latents]
        for start in range(1, clip.shape[2], chunk):
            latents, *caches = encoder(clip[:, :, start : start + chunk], *caches)
            encoded.append(latents)
    return torch.cat(encoded, dim=2)


def clip_of(frames: int) -> Tensor:
    return 2 * torch.rand(1, 3, frames, 64, 96) - 1


def test_four_frames_at_a_time_it_equals_diffusers_bit_by_bit(vae: Any) -> None:
    clip = clip_of(13)
    assert torch.equal(stream(vae, clip, chunk=4), encode(vae, clip))


@pytest.mark.parametrize("chunk", [8, 16])
def test_chunks_may_be_any_multiple_of_the_temporal_stride(vae: Any, chunk: int) -> None:
    clip = clip_of(17)
    torch.testing.assert_close(stream(vae, clip, chunk), encode(vae, clip), atol=1e-5, rtol=0)


def test_a_single_frame_is_an_image(vae: Any, layout: LayoutName) -> None:
    clip = clip_of(1)
    latents = stream(vae, clip, chunk=4)
    channels, stride = STRIDES[layout]
    assert latents.shape == (1, channels, 1, 64 // stride, 96 // stride)
    assert torch.equal(latents, encode(vae, clip))


def test_caches_have_the_same_shapes_before_and_after_a_call(vae: Any) -> None:
    encoder = StreamingEncoder(vae)
    with torch.no_grad():
        _, *before = encoder(clip_of(1))
        _, *after = encoder(clip_of(8), *before)
    assert [cache.shape for cache in after] == [cache.shape for cache in before]
