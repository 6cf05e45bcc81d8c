"""Training pays for the caption's tokens only, and computes what `WanPipeline` computes over all of them."""

import copy

import pytest
import torch

from export.tiny.t5_tokenizer import word_tokenizer
from toy.training.denoiser import Denoiser
from toy.training.text import encode, pad_cheaply, umt5_encoder
from toy.training.transformer import wan_transformer

CAPTIONS = ["", "a red circle", "A red circle moving right on a black background."]
WORDS = ["a", "red", "circle", "moving", "right", "on", "black", "background"]


@pytest.mark.parametrize("length", [16, 512])
def test_one_weighted_token_stands_for_all_padding(length: int) -> None:
    torch.manual_seed(0)
    tokenizer = word_tokenizer(WORDS)
    encoder = umt5_encoder(len(tokenizer))
    cheap = wan_transformer(64)
    torch.nn.init.normal_(cheap.proj_out.weight, std=0.1)
    stock = copy.deepcopy(cheap)
    denoiser = Denoiser(cheap, encoder, tokenizer)
    latents, sigmas = torch.randn(3, 16, 3, 8, 8), torch.tensor([0.1, 0.5, 0.9])

    velocity = denoiser(latents, sigmas, CAPTIONS, torch.full((3,), length))

    # as WanPipeline does it: pad to the length, encode, replace the padding by zeros
    tokens = tokenizer(CAPTIONS, padding="max_length", max_length=length, return_tensors="pt")
    states = encoder(tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
    states = states * tokens.attention_mask[..., None]
    expected = stock(latents, 1000 * sigmas, states).sample
    assert (expected[0] - expected[1]).abs().max() > 1e-4  # the captions do reach it
    # float32 sums of 512 terms in another order; Intel and AMD processors differ by up to 1.2e-6 here
    torch.testing.assert_close(velocity, expected, atol=1e-5, rtol=1e-5)


def test_lengths_matter_only_through_the_padding() -> None:
    tokens, mask = torch.tensor([[5, 6, 1], [5, 1, 0]]), torch.tensor([[1, 1, 1], [1, 1, 0]])
    text = encode(umt5_encoder(8), tokens, mask, torch.tensor([16, 512]))
    assert text.states.shape == (2, 4, 64)
    assert text.states[:, -1].abs().max() == 0
    assert text.states[1, 2].abs().max() == 0
    torch.testing.assert_close(text.bias[:, 0, 0, -1].exp(), torch.tensor([13.0, 510.0]))
    assert text.bias[1, 0, 0, 2] < -1000


def test_all_blocks_share_the_bias() -> None:
    transformer = wan_transformer(64)
    processor = pad_cheaply(transformer)
    assert {id(block.attn2.processor) for block in transformer.blocks} == {id(processor)}
