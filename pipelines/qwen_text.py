"""Qwen2.5-VL prompts of Qwen-Image (diffusers' `QwenImagePipeline._get_qwen_prompt_embeds`)."""

import torch

from pipelines.token_encoder import TokenEncoder
from pipelines.tokenizer import Fit, Tokenizer

_SYSTEM = (
    "<|im_start|>system\n"
    "Describe the image by detailing the color, shape, size, texture, quantity, text, spatial relationships "
    "of the objects and background:<|im_end|>\n"
    "<|im_start|>user\n"
)
_END = "<|im_end|>\n<|im_start|>assistant\n"
_TEMPLATE = _SYSTEM + "{}" + _END


def count_system_tokens(tokenizer: Tokenizer) -> int:
    """Tokens of the template before the prompt, which the transformer does not see: 34 with Qwen's own tokenizer."""
    return tokenizer.encode(_SYSTEM, max_length=1024).shape[1]


async def encode_prompt(
    prompt: str, tokenizer: Tokenizer, system_tokens: int, encoder: TokenEncoder, max_length: int
) -> torch.Tensor:
    """Encode one prompt.

    Returns:
        [1, tokens, text_dim]: the prompt's own tokens and those that close the template, at most `max_length`.
    """
    states = await encoder.encode(tokenizer.encode(_TEMPLATE.format(prompt), max_length + system_tokens))
    return states[:, system_tokens:]


def fit_prompt(prompt: str, tokenizer: Tokenizer, system_tokens: int, max_length: int) -> Fit:
    """How many tokens a prompt has, without the template's, and what `encode_prompt` encodes of it.

    What is too long loses the end of the template first, which is nobody's loss.
    """
    fit = tokenizer.fit(_TEMPLATE.format(prompt), max_length + system_tokens)
    tokens = fit.tokens - system_tokens - tokenizer.fit(_END, fit.tokens).tokens
    return Fit(tokens, fit.kept.removeprefix(_SYSTEM) if tokens > max_length else prompt)
