"""What the text-to-image model is trained on is what QwenImagePipeline gives it."""

import torch
from diffusers import AutoencoderKLQwenImage

from export.tiny.qwen_tokenizer import chat_tokenizer
from toy.training.qwen_text import TEMPLATE, TEMPLATE_TOKENS, encode_chat, qwen_encoder
from toy.training.toy_qwen_image import fresh_denoiser, pipeline_of
from toy.world.captions import VOCABULARY


def test_words_are_tokens_after_the_template() -> None:
    tokenizer = chat_tokenizer(VOCABULARY)
    assert len(tokenizer(TEMPLATE.split("{}")[0]).input_ids) == TEMPLATE_TOKENS
    assert tokenizer.tokenize("A red ring, on black.") == ["A", "Ġred", "Ġring", ",", "Ġon", "Ġblack", "."]
    assert tokenizer.decode(tokenizer("Ünusual zebra").input_ids) == "Ünusual zebra"


def test_captions_are_encoded_as_the_pipeline_does() -> None:
    denoiser = fresh_denoiser()
    captions = ["A red ring on black", " ", "a blue cross, on a white background."]
    text = encode_chat(denoiser.text_encoder, denoiser.tokenizer, captions)
    states, mask = pipeline_of(denoiser, AutoencoderKLQwenImage(base_dim=4)).encode_prompt(captions)
    assert torch.equal(text.mask, mask.bool())
    torch.testing.assert_close(text.states, states, atol=1e-6, rtol=1e-5)


def test_padding_changes_no_caption() -> None:
    tokenizer = chat_tokenizer(VOCABULARY)
    torch.manual_seed(0)
    encoder = qwen_encoder(tokenizer)
    alone = encode_chat(encoder, tokenizer, ["red"])
    beside = encode_chat(encoder, tokenizer, ["red", "a large red ring on a white background"])
    count = alone.states.shape[1]
    assert beside.states.shape[1] > count
    torch.testing.assert_close(beside.states[:1, :count], alone.states, atol=1e-5, rtol=1e-4)
    assert beside.states[0, count:].abs().max() == 0


def test_learns_with_gradients_everywhere() -> None:
    denoiser = fresh_denoiser()
    torch.nn.init.normal_(denoiser.transformer.proj_out.weight, std=0.1)
    velocity = denoiser(torch.randn(2, 16, 1, 4, 4), torch.tensor([0.3, 0.8]), ["a red ring", "a blue cross"])
    velocity.square().mean().backward()
    without = {name for name, p in denoiser.named_parameters() if p.requires_grad and p.grad is None}
    # the last block's text stream leads nowhere
    assert all(
        ".3." in name and ("add_q" in name or "txt" in name or "to_add_out" in name or "norm_added_q" in name)
        for name in without
    )
