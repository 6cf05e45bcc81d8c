"""UMT5 prompts of the Wan family (diffusers' `WanPipeline._get_t5_prompt_embeds`)."""

import html

import ftfy
import torch

from pipelines.token_encoder import TokenEncoder
from pipelines.tokenizer import Fit, Tokenizer


async def encode_prompt(prompt: str, tokenizer: Tokenizer, encoder: TokenEncoder, max_length: int) -> torch.Tensor:
    """Encode one prompt.

    The encoder runs on the unpadded ids: its mask makes padding without effect. The rest is zero-filled, which the
    transformer sees, as it has no text mask.

    Returns:
        [1, max_length, text_dim].
    """
    states = await encoder.encode(tokenizer.encode(prompt_clean(prompt), max_length))
    return torch.nn.functional.pad(states, (0, 0, 0, max_length - states.shape[1]))


def fit_prompt(prompt: str, tokenizer: Tokenizer, max_length: int) -> Fit:
    """How many tokens a prompt has, the one that ends it included, and what `encode_prompt` encodes of it."""
    return tokenizer.fit(prompt_clean(prompt), max_length)


def prompt_clean(text: str) -> str:
    """Mend broken Unicode, resolve HTML entities twice, and leave single spaces (diffusers' function of this name)."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())
