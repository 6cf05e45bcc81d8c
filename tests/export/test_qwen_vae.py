"""The decoder of pictures is diffusers' decoder of clips on a clip of one frame, at a third of the size."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from export import qwen_vae
from export.qwen_vae import PictureDecoder


@pytest.fixture(scope="module")
def vae(qwen_checkpoint: Path) -> Any:
    return qwen_vae.load(qwen_checkpoint / "vae")


@pytest.mark.parametrize("shape", [(1, 16, 1, 2, 2), (2, 16, 1, 6, 4)])
def test_it_equals_diffusers(vae: Any, shape: tuple[int, ...]) -> None:
    latents = torch.randn(shape)
    with torch.no_grad():
        ours, theirs = PictureDecoder(vae)(latents), vae.decode(latents, return_dict=False)[0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5)


def test_its_convolutions_have_the_weights_of_the_current_frame_alone(vae: Any) -> None:
    causal = {name: layer for name, layer in vae.decoder.named_modules() if isinstance(layer, nn.Conv3d)}
    decoder = PictureDecoder(vae).decoder
    assert not any(isinstance(layer, nn.Conv3d) for layer in decoder.modules())
    for name, layer in causal.items():
        assert torch.equal(decoder.get_submodule(name).convolution.weight, layer.weight[:, :, -1])


def test_the_vae_still_decodes_clips(vae: Any) -> None:
    latents = torch.randn(1, 16, 2, 4, 4)
    with torch.no_grad():
        before = vae.decode(latents, return_dict=False)[0]
        PictureDecoder(vae)(latents[:, :, :1])
        after = vae.decode(latents, return_dict=False)[0]
    assert before.shape == (1, 3, 5, 32, 32)
    assert torch.equal(before, after)
