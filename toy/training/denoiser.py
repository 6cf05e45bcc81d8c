"""What a Wan stage trains: a transformer with the text encoder that it reads, told in captions."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from toy.training.device import best_device
from toy.training.flow import TIMESTEPS
from toy.training.text import encode, pad_cheaply

SEQUENCE_LENGTHS = (512, 226, 128, 64, 64, 32)
"""`max_sequence_length`s that training imitates; the transformer must do with each. 64 is the checkpoints' own."""


class Denoiser(nn.Module):
    """Predicts the velocity of noisy latents under captions."""

    def __init__(self, transformer: Any, text_encoder: Any, tokenizer: Any) -> None:
        super().__init__()
        self.transformer = transformer
        self.text_encoder = text_encoder
        self.tokenizer = tokenizer
        self._cross_attention = pad_cheaply(transformer)
        self.to(best_device())

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(self, latents: Tensor, sigmas: Tensor, captions: Sequence[str], lengths: Tensor) -> Tensor:
        """The velocity, of the shape of the latents.

        Args:
            latents: float32 [batch, channels, frames, height, width], and whatever else the transformer takes in
                further channels
            sigmas: float32 [batch], or [batch, tokens] of a transformer with a noise level per token
            lengths: int64 [batch], the `max_sequence_length` to imitate for each caption
        """
        tokens = self.tokenizer(list(captions), padding=True, return_tensors="pt").to(latents.device)
        text = encode(self.text_encoder, tokens.input_ids, tokens.attention_mask, lengths.to(latents.device))
        self._cross_attention.bias = text.bias
        velocity: Tensor = self.transformer(latents, TIMESTEPS * sigmas, text.states).sample
        return velocity


def draw_lengths(count: int, generator: torch.Generator) -> Tensor:
    """`max_sequence_length`s of a batch, int64 [count]."""
    picked = torch.randint(len(SEQUENCE_LENGTHS), (count,), generator=generator)
    return torch.tensor(SEQUENCE_LENGTHS)[picked]
