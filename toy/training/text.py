"""Captions for a Wan transformer in training: the UMT5 encoder, and cross-attention that does not pay for padding.

`WanPipeline` lets the transformer attend to `max_sequence_length` text tokens; those beyond the caption are zeros, and
nothing masks them. All of them have the same key and value, so one zero token stands for m of them exactly when
log(m) is added to its attention logits. That makes 512 text tokens as cheap as the caption's own.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

_ABSENT = -1e4
"""an attention logit that no other comes near"""


@dataclass(frozen=True)
class Text:
    """Encoded captions."""

    states: Tensor
    """float32 [batch, tokens + 1, text_dim]; the last token stands for the padding"""
    bias: Tensor
    """float32 [batch, 1, 1, tokens + 1], added to the attention logits"""


def umt5_encoder(vocabulary: int) -> Any:
    """A `UMT5EncoderModel` of 0.1 M parameters at its initial values."""
    from transformers import UMT5Config, UMT5EncoderModel

    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocabulary,
            d_model=64,
            d_kv=16,
            d_ff=128,
            num_layers=2,
            num_heads=4,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
        )
    )


def encode(encoder: nn.Module, tokens: Tensor, mask: Tensor, lengths: Tensor) -> Text:
    """Encode captions as `WanPipeline` does when it pads each to its own `max_sequence_length`.

    Args:
        tokens: int64 [batch, tokens], padded to the longest
        mask: int64 [batch, tokens], 0 at padding
        lengths: int64 [batch], the lengths to imitate, each greater than its caption's
    """
    states = encoder(tokens, attention_mask=mask).last_hidden_state * mask[..., None]
    states = torch.cat([states, states.new_zeros(len(states), 1, states.shape[2])], dim=1)
    padding = (lengths - mask.sum(dim=1)).clamp(min=1).log()
    bias = torch.cat([torch.where(mask == 0, _ABSENT, 0.0).to(states), padding[:, None]], dim=1)
    return Text(states, bias[:, None, None, :])


class PaddedCrossAttention:
    """The attention processor that reads `Text.bias`, one for all blocks (compare diffusers' `WanAttnProcessor`).

    Set `bias` before each call of the transformer.
    """

    # diffusers sets and reads these on every processor
    _attention_backend = None
    _parallel_config = None

    def __init__(self) -> None:
        self.bias: Tensor | None = None

    def __call__(
        self,
        attention: Any,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor,
        attention_mask: None = None,
        rotary_emb: None = None,
    ) -> Tensor:
        query = attention.norm_q(attention.to_q(hidden_states))
        key = attention.norm_k(attention.to_k(encoder_hidden_states))
        value = attention.to_v(encoder_hidden_states)
        query, key, value = (x.unflatten(2, (attention.heads, -1)).transpose(1, 2) for x in (query, key, value))
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=self.bias)
        projected: Tensor = attention.to_out[0](mixed.transpose(1, 2).flatten(2))
        return projected


def pad_cheaply(transformer: Any) -> PaddedCrossAttention:
    """Have `transformer` take `Text.states`; the result is where to put `Text.bias`."""
    processor = PaddedCrossAttention()
    for block in transformer.blocks:
        block.attn2.set_processor(processor)
    return processor
