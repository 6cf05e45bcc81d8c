"""The transformer's exported form is diffusers' arithmetic, to the bit, and borrows the module without a trace."""

from pathlib import Path
from typing import Any

import pytest
import torch

from export import wan_transformer
from export.wan_transformer import ExportableWanTransformer


@pytest.fixture(scope="module")
def transformer(tiny_checkpoint: Path) -> Any:
    return wan_transformer.load(tiny_checkpoint / "transformer")


@pytest.mark.parametrize(("batch", "frames", "height", "width", "tokens"), [(1, 1, 4, 6, 3), (2, 3, 8, 4, 20)])
def test_it_equals_diffusers_bit_by_bit(
    transformer: Any, batch: int, frames: int, height: int, width: int, tokens: int
) -> None:
    latents = torch.randn(batch, 16, frames, height, width)
    timestep = torch.rand(batch) * 1000
    text = torch.randn(batch, tokens, transformer.config.text_dim)
    with torch.no_grad():
        ours = ExportableWanTransformer(transformer)(latents, timestep, text)
        theirs = transformer(latents, timestep, text, return_dict=False)[0]
    assert torch.equal(ours, theirs)


def test_tokens_may_have_timesteps_of_their_own(transformer: Any) -> None:
    """TI2V-5B: the tokens of the image's latent frame are at 0."""
    latents = torch.randn(2, 16, 3, 8, 4)
    timestep = torch.full((2, 3, 8), 700.0)
    timestep[:, 0] = 0
    text = torch.randn(2, 5, transformer.config.text_dim)
    with torch.no_grad():
        ours = ExportableWanTransformer(transformer)(latents, timestep.flatten(1), text)
        theirs = transformer(latents, timestep.flatten(1), text, return_dict=False)[0]
        one_for_all = ExportableWanTransformer(transformer)(latents, torch.full((2,), 700.0), text)
    assert torch.equal(ours, theirs)
    assert (ours - one_for_all).abs().max() > 1e-3


def test_the_module_is_left_as_it_was(transformer: Any) -> None:
    before = {name: set(vars(module)) for name, module in transformer.named_modules()}
    exportable = ExportableWanTransformer(transformer)
    with torch.no_grad():
        exportable(torch.randn(1, 16, 1, 4, 4), torch.tensor([5.0]), torch.randn(1, 3, transformer.config.text_dim))
    assert {name: set(vars(module)) for name, module in transformer.named_modules()} == before


def test_weights_are_float32_whatever_the_checkpoint_stores(transformer: Any, tmp_path: Path) -> None:
    transformer.half().save_pretrained(tmp_path)
    transformer.float()
    loaded = wan_transformer.load(tmp_path)
    assert {parameter.dtype for parameter in loaded.parameters()} == {torch.float32}
