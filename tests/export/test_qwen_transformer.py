"""The transformer's exported form: padding has no effect at all, and without it the result is diffusers'."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from export import qwen_transformer
from export.qwen_transformer import ExportableQwenImageTransformer

HEIGHT, WIDTH = 3, 4
"""of the images here, in packed latents"""


@pytest.fixture(scope="module")
def transformer(qwen_checkpoint: Path) -> Any:
    return qwen_transformer.load(qwen_checkpoint / "transformer")


def rope_tables(transformer: Any, text_tokens: int) -> list[Tensor]:
    """image_cos, image_sin, text_cos, text_sin"""
    rotations = transformer.pos_embed([[(1, HEIGHT, WIDTH)]], max_txt_seq_len=text_tokens, device=torch.device("cpu"))
    return [part for rotation in rotations for part in (rotation.real, rotation.imag)]


def run(transformer: Any, latents: Tensor, timestep: Tensor, text: Tensor, mask: Tensor) -> Tensor:
    tables = rope_tables(transformer, text.shape[1])
    with torch.no_grad():
        sample: Tensor = ExportableQwenImageTransformer(transformer)(latents, timestep, text, mask, *tables)
    return sample


def random_rows(transformer: Any, batch: int, text_tokens: int) -> tuple[Tensor, Tensor, Tensor]:
    """latents, timestep, text"""
    return (
        torch.randn(batch, HEIGHT * WIDTH, transformer.config.in_channels),
        torch.rand(batch),
        torch.randn(batch, text_tokens, transformer.config.joint_attention_dim),
    )


def in_diffusers(transformer: Any, latents: Tensor, timestep: Tensor, text: Tensor) -> Tensor:
    with torch.no_grad():
        sample: Tensor = transformer(
            hidden_states=latents,
            encoder_hidden_states=text,
            timestep=timestep,
            img_shapes=[[(1, HEIGHT, WIDTH)]] * len(latents),
            return_dict=False,
        )[0]
    return sample


@pytest.mark.parametrize(("batch", "text_tokens"), [(1, 1), (2, 17)])
def test_without_padding_it_equals_diffusers(transformer: Any, batch: int, text_tokens: int) -> None:
    rows = random_rows(transformer, batch, text_tokens)
    ours = run(transformer, *rows, torch.ones(batch, text_tokens))
    torch.testing.assert_close(ours, in_diffusers(transformer, *rows), rtol=0, atol=5e-6)


def test_a_padded_prompt_gives_what_diffusers_gives_for_the_prompt_alone(transformer: Any) -> None:
    latents, timestep, text = random_rows(transformer, 1, 5)
    padded = torch.cat([text, 100 * torch.randn(1, 11, text.shape[2])], dim=1)
    mask = (torch.arange(16) < 5).float()[None]
    ours = run(transformer, latents, timestep, padded, mask)
    torch.testing.assert_close(ours, in_diffusers(transformer, latents, timestep, text), rtol=0, atol=5e-6)


def test_what_stands_in_the_padding_does_not_matter_to_the_bit(transformer: Any) -> None:
    latents, timestep, text = random_rows(transformer, 2, 12)
    mask = (torch.arange(12)[None] < torch.tensor([[4], [9]])).float()
    other = torch.where(mask[..., None] > 0, text, 1e4 * torch.randn_like(text))
    ours, theirs = (run(transformer, latents, timestep, states, mask) for states in (text, other))
    assert torch.equal(ours, theirs)


def test_every_token_of_a_prompt_matters(transformer: Any) -> None:
    latents, timestep, text = random_rows(transformer, 1, 6)
    shorter = (torch.arange(6) < 5).float()[None]
    everything = run(transformer, latents, timestep, text, torch.ones(1, 6))
    assert (everything - run(transformer, latents, timestep, text, shorter)).abs().max() > 1e-3


def test_the_module_is_left_as_it_was(transformer: Any) -> None:
    before = {name: set(vars(module)) for name, module in transformer.named_modules()}
    run(transformer, *random_rows(transformer, 1, 3), torch.ones(1, 3))
    assert {name: set(vars(module)) for name, module in transformer.named_modules()} == before
