"""How much memory the models of a checkpoint take while they compute, from their configurations.

The factors were measured with ONNX Runtime on the CPU without its arena; a test of
`pipelines.ensemble.memory` compares the estimates with what exported models take.
"""

from collections.abc import Mapping
from typing import Any

from protocol.model_card import MemoryUse

_FLOAT = 4
_WIDTHS = 24
"""values of a transformer's width that are alive per token at the peak of a layer"""
_FEED_FORWARDS = 4
"""the same, of its feed-forward width"""
_SCORES = 3
"""copies of the attention scores that a text encoder holds"""


def wan_memory_use(
    transformer: Mapping[str, Any],
    text_encoder: Mapping[str, Any],
    max_tokens: int,
    token_timesteps: bool,
) -> MemoryUse:
    """Of WanTransformer3DModel and UMT5EncoderModel.

    Args:
        transformer, text_encoder: their configurations.
        max_tokens: of a prompt.
        token_timesteps: each token has its own modulations, and not each sample.
    """
    width = transformer["num_attention_heads"] * transformer["attention_head_dim"]
    modulations = _WIDTHS * width if token_timesteps else 0
    return MemoryUse(
        text=_text_bytes(text_encoder["d_model"], text_encoder["d_ff"], text_encoder["num_heads"], max_tokens),
        step_per_token=_layer_bytes(width, transformer["ffn_dim"]) + _FLOAT * modulations,
    )


def qwen_image_memory_use(
    transformer: Mapping[str, Any], text_encoder: Mapping[str, Any], max_tokens: int
) -> MemoryUse:
    """Of QwenImageTransformer2DModel, with its feed-forward of four times the width, and Qwen2.5-VL."""
    width = transformer["num_attention_heads"] * transformer["attention_head_dim"]
    text = text_encoder.get("text_config", text_encoder)
    return MemoryUse(
        text=_text_bytes(text["hidden_size"], text["intermediate_size"], text["num_attention_heads"], max_tokens),
        step_per_token=_layer_bytes(width, 4 * width),
    )


def _layer_bytes(width: int, feed_forward: int) -> int:
    return _FLOAT * (_WIDTHS * width + _FEED_FORWARDS * feed_forward)


def _text_bytes(width: int, feed_forward: int, heads: int, tokens: int) -> int:
    return tokens * _layer_bytes(width, feed_forward) + _FLOAT * _SCORES * heads * tokens**2
