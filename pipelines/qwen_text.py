"""Qwen2.5-VL prompts of Qwen-Image (diffusers' `QwenImagePipeline._get_qwen_prompt_embeds`)."""

from typing import Any

import torch

from pipelines.token_encoder import TokenEncoder

_SYSTEM = (
    "<|im_start|>system\n"
    "Describe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships "
    "of the objects and background:<|im_end|>\n"
    "<|im_start|>user\n"
)
_TEMPLATE = _SYSTEM + "{}<|im_end|>\n<|im_start|>assistant\n"


def count_system_tokens(tokenizer: Any) -> int:
    """Tokens of the template before the prompt, which the transformer does not see: 34 with Qwen's own tokenizer."""
    return len(tokenizer(_SYSTEM)["input_ids"])


async def encode_prompt(
    prompt: str, tokenizer: Any, system_tokens: int, encoder: TokenEncoder, max_length: int
) -> torch.Tensor:
    """Encode one prompt.

    Returns:
        [1, tokens, text_dim]: the prompt's own tokens and those that close the template, at most `max_length`.
    """
    tokens = tokenizer(
        [_TEMPLATE.format(prompt)], truncation=True, max_length=max_length + system_tokens, return_tensors="pt"
    )
    states = await encoder.encode(tokens["input_ids"], tokens["attention_mask"])
    return states[:, system_tokens:]
