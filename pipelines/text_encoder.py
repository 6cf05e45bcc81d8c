"""UMT5 prompts of the Wan family (diffusers' `WanPipeline._get_t5_prompt_embeds`)."""

import html
from typing import Any

import ftfy
import torch

from pipelines.token_encoder import TokenEncoder


async def encode_prompt(prompt: str, tokenizer: Any, encoder: TokenEncoder, max_length: int) -> torch.Tensor:
    """Encode one prompt.

    The encoder runs on the unpadded ids: its mask makes padding without effect. The rest is zero-filled, which the
    transformer sees, as it has no text mask.

    Returns:
        [1, max_length, text_dim].
    """
    tokens = tokenizer([prompt_clean(prompt)], truncation=True, max_length=max_length, return_tensors="pt")
    states = await encoder.encode(tokens["input_ids"], tokens["attention_mask"])
    return torch.nn.functional.pad(states, (0, 0, 0, max_length - states.shape[1]))


def prompt_clean(text: str) -> str:
    """Mend broken Unicode, resolve HTML entities twice, and leave single spaces (diffusers' function of this name)."""
    return " ".join(html.unescape(html.unescape(ftfy.fix_text(text))).split())
