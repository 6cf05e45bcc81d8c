"""Captions for a Qwen-Image transformer in training: the Qwen2.5-VL text encoder in the pipeline's chat template."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from export.tiny.qwen_tokenizer import SPECIAL_TOKENS

TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)
TEMPLATE_TOKENS = 34
"""of the template before the prompt; the transformer does not see them (diffusers' QwenImagePipeline)"""

TEXT_DIM = 64


@dataclass(frozen=True)
class ChatText:
    """states: float32 [batch, tokens, TEXT_DIM]; mask: bool [batch, tokens], false at padding"""

    states: Tensor
    mask: Tensor


def qwen_encoder(tokenizer: Any) -> Any:
    """A `Qwen2_5_VLForConditionalGeneration` of two layers; nothing looks through its vision tower."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision_start, vision_end, image, video = tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS[3:]))
    text_config = {
        "vocab_size": len(tokenizer),
        "hidden_size": TEXT_DIM,
        "intermediate_size": 2 * TEXT_DIM,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        # pairs of a head turned by the temporal, vertical and horizontal position
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [2, 3, 3]},
        "bos_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        "tie_word_embeddings": True,
    }
    vision_config = {
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "out_hidden_size": TEXT_DIM,
        "fullatt_block_indexes": [0],
    }
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config=text_config,
            vision_config=vision_config,
            image_token_id=image,
            video_token_id=video,
            vision_start_token_id=vision_start,
            vision_end_token_id=vision_end,
            tie_word_embeddings=True,
        )
    )


def encode_chat(encoder: Any, tokenizer: Any, captions: Sequence[str]) -> ChatText:
    """Encode captions as `QwenImagePipeline` does."""
    tokens = tokenizer(
        [TEMPLATE.format(caption) for caption in captions], padding=True, padding_side="right", return_tensors="pt"
    ).to(encoder.device)
    # The language model alone: the head over the vocabulary would cost more than the rest.
    states = encoder.model.language_model(
        input_ids=tokens.input_ids, attention_mask=tokens.attention_mask, use_cache=False
    ).last_hidden_state
    mask = tokens.attention_mask[:, TEMPLATE_TOKENS:].bool()
    return ChatText(states[:, TEMPLATE_TOKENS:] * mask[..., None], mask)


def freeze_unused(encoder: Any) -> None:
    """Without a gradient where training has no use for one: the vision tower."""
    encoder.model.visual.requires_grad_(False)
