"""A tiny Qwen-Image checkpoint: dual-stream transformer, Qwen2.5-VL, byte-level BPE, and the VAE, at toy sizes."""

import json
from pathlib import Path
from typing import Any

import torch

from export.defaults import DEFAULTS_FILE
from export.tiny.qwen_tokenizer import SPECIAL_TOKENS, chat_tokenizer
from export.tiny.weights import randomise

_HEADS = 2
_HEAD_DIM = 32
_ROTARY_DIMS = (8, 12, 12)
"""frame, height and width; together the head"""
_TEXT_DIM = 32
_TEXT_HEADS, _TEXT_KEY_HEADS = 2, 1
_VAE_DIM = 8

_PROMPT_WORDS = "a an red green blue circle square triangle cat dog left right up down on in grass sun"


def build(folder: Path, seed: int, vae_dim: int = _VAE_DIM) -> None:
    """Write the checkpoint; the same seed gives the same files."""
    from diffusers import (
        AutoencoderKLQwenImage,
        FlowMatchEulerDiscreteScheduler,
        QwenImagePipeline,
        QwenImageTransformer2DModel,
    )

    tokenizer = chat_tokenizer(_PROMPT_WORDS.split())
    text_encoder = _text_encoder(tokenizer)
    transformer = QwenImageTransformer2DModel(
        num_layers=2,
        num_attention_heads=_HEADS,
        attention_head_dim=_HEAD_DIM,
        axes_dims_rope=_ROTARY_DIMS,
        joint_attention_dim=_TEXT_DIM,
    )
    vae = AutoencoderKLQwenImage(base_dim=vae_dim)
    for number, module in enumerate([text_encoder, vae, transformer]):
        randomise(module, torch.Generator().manual_seed(16 * seed + number))
    QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(
            base_image_seq_len=256,
            base_shift=0.5,
            max_image_seq_len=8192,
            max_shift=0.9,
            shift_terminal=0.02,
            time_shift_type="exponential",
            use_dynamic_shifting=True,
        ),
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        transformer=transformer,
    ).save_pretrained(folder)
    (folder / DEFAULTS_FILE).write_text(json.dumps(_DEFAULTS, indent=2) + "\n")


_DEFAULTS = {
    "id": "tiny-qwen-image",
    "width": 64,
    "height": 48,
    "num_inference_steps": 4,
    "true_cfg_scale": 4.0,
    "max_pixel_frames": 1024 * 1024,
    "max_sequence_length": 128,
}


def _text_encoder(tokenizer: Any) -> Any:
    """Qwen2.5-VL: grouped queries, three-axis rotary embedding, and a vision tower that nothing here looks through."""
    from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

    vision_start, vision_end, image, video = tokenizer.convert_tokens_to_ids(SPECIAL_TOKENS[3:])
    text_config = {
        "vocab_size": len(tokenizer),
        "hidden_size": _TEXT_DIM,
        "intermediate_size": 2 * _TEXT_DIM,
        "num_hidden_layers": 2,
        "num_attention_heads": _TEXT_HEADS,
        "num_key_value_heads": _TEXT_KEY_HEADS,
        "max_position_embeddings": 2048,
        # pairs of a head turned by the temporal, vertical and horizontal position
        "rope_parameters": {"rope_type": "default", "rope_theta": 1_000_000.0, "mrope_section": [2, 3, 3]},
        "bos_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
    }
    vision_config = {
        "depth": 1,
        "hidden_size": _TEXT_DIM,
        "intermediate_size": 2 * _TEXT_DIM,
        "num_heads": 2,
        "out_hidden_size": _TEXT_DIM,
        "fullatt_block_indexes": [0],
    }
    config = Qwen2_5_VLConfig(
        text_config=text_config,
        vision_config=vision_config,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=vision_start,
        vision_end_token_id=vision_end,
        tie_word_embeddings=False,
    )
    return Qwen2_5_VLForConditionalGeneration(config)
