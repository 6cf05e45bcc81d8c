"""Folders with the configurations of the published checkpoints, and nothing else."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Config = Mapping[str, Any]

_WAN_A14B: Config = {
    "_class_name": "WanTransformer3DModel",
    "added_kv_proj_dim": None,
    "attention_head_dim": 128,
    "cross_attn_norm": True,
    "eps": 1e-06,
    "ffn_dim": 13824,
    "freq_dim": 256,
    "image_dim": None,
    "in_channels": 16,
    "num_attention_heads": 40,
    "num_layers": 40,
    "out_channels": 16,
    "patch_size": [1, 2, 2],
    "pos_embed_seq_len": None,
    "qk_norm": "rms_norm_across_heads",
    "rope_max_seq_len": 1024,
    "text_dim": 4096,
}
_WAN_5B: Config = {
    **_WAN_A14B,
    "ffn_dim": 14336,
    "in_channels": 48,
    "num_attention_heads": 24,
    "num_layers": 30,
    "out_channels": 48,
}
_UMT5_XXL: Config = {
    "architectures": ["UMT5EncoderModel"],
    "classifier_dropout": 0.0,
    "d_ff": 10240,
    "d_kv": 64,
    "d_model": 4096,
    "decoder_start_token_id": 0,
    "dense_act_fn": "gelu_new",
    "dropout_rate": 0.1,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu",
    "initializer_factor": 1.0,
    "is_encoder_decoder": True,
    "is_gated_act": True,
    "layer_norm_epsilon": 1e-06,
    "model_type": "umt5",
    "num_decoder_layers": 24,
    "num_heads": 64,
    "num_layers": 24,
    "output_past": True,
    "pad_token_id": 0,
    "relative_attention_max_distance": 128,
    "relative_attention_num_buckets": 32,
    "scalable_attention": True,
    "tie_word_embeddings": False,
    "tokenizer_class": "T5Tokenizer",
    "torch_dtype": "bfloat16",
    "transformers_version": "4.49.0",
    "use_cache": True,
    "vocab_size": 256384,
}
_LATENTS: Config = {
    "latents_mean": [
        *(-0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508),
        *(0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921),
    ],
    "latents_std": [
        *(2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743),
        *(3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160),
    ],
}
_WAN21_VAE: Config = {
    "_class_name": "AutoencoderKLWan",
    "attn_scales": [],
    "base_dim": 96,
    "dim_mult": [1, 2, 4, 4],
    "dropout": 0.0,
    **_LATENTS,
    "num_res_blocks": 2,
    "temperal_downsample": [False, True, True],
    "z_dim": 16,
}
"""without the strides, as it was published before there were others"""
_WAN22_VAE: Config = {
    **_WAN21_VAE,
    "base_dim": 160,
    "clip_output": False,
    "decoder_base_dim": 256,
    "in_channels": 12,
    "is_residual": True,
    "latents_mean": 3 * _LATENTS["latents_mean"],
    "latents_std": 3 * _LATENTS["latents_std"],
    "out_channels": 12,
    "patch_size": 2,
    "scale_factor_spatial": 16,
    "scale_factor_temporal": 4,
    "z_dim": 48,
}
"""with other means"""
_QWEN_TRANSFORMER: Config = {
    "_class_name": "QwenImageTransformer2DModel",
    "attention_head_dim": 128,
    "axes_dims_rope": [16, 56, 56],
    "guidance_embeds": False,
    "in_channels": 64,
    "joint_attention_dim": 3584,
    "num_attention_heads": 24,
    "num_layers": 60,
    "out_channels": 16,
    "patch_size": 2,
    "pooled_projection_dim": 768,
}
_QWEN_TEXT_ENCODER: Config = {
    "architectures": ["Qwen2_5_VLForConditionalGeneration"],
    "attention_dropout": 0.0,
    "bos_token_id": 151643,
    "eos_token_id": 151645,
    "hidden_act": "silu",
    "hidden_size": 3584,
    "image_token_id": 151655,
    "initializer_range": 0.02,
    "intermediate_size": 18944,
    "max_position_embeddings": 128000,
    "max_window_layers": 28,
    "model_type": "qwen2_5_vl",
    "num_attention_heads": 28,
    "num_hidden_layers": 28,
    "num_key_value_heads": 4,
    "rms_norm_eps": 1e-06,
    "rope_scaling": {"mrope_section": [16, 24, 24], "rope_type": "default", "type": "default"},
    "rope_theta": 1000000.0,
    "sliding_window": 32768,
    "tie_word_embeddings": False,
    "torch_dtype": "bfloat16",
    "transformers_version": "4.53.1",
    "use_cache": True,
    "use_sliding_window": False,
    "vision_config": {
        "depth": 32,
        "fullatt_block_indexes": [7, 15, 23, 31],
        "hidden_act": "silu",
        "hidden_size": 1280,
        "in_channels": 3,
        "in_chans": 3,
        "intermediate_size": 3420,
        "model_type": "qwen2_5_vl",
        "num_heads": 16,
        "out_hidden_size": 3584,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "spatial_patch_size": 14,
        "temporal_patch_size": 2,
        "tokens_per_second": 2,
        "window_size": 112,
    },
    "vocab_size": 152064,
}
_QWEN_VAE: Config = {**_WAN21_VAE, "_class_name": "AutoencoderKLQwenImage"}

_WAN_INDEX: Config = {
    "_class_name": "WanPipeline",
    "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    "text_encoder": ["transformers", "UMT5EncoderModel"],
    "tokenizer": ["transformers", "T5TokenizerFast"],
    "transformer": ["diffusers", "WanTransformer3DModel"],
    "vae": ["diffusers", "AutoencoderKLWan"],
}
_EXPERTS: Config = {"transformer_2": ["diffusers", "WanTransformer3DModel"]}
_QWEN_INDEX: Config = {
    "_class_name": "QwenImagePipeline",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
    "tokenizer": ["transformers", "Qwen2Tokenizer"],
    "transformer": ["diffusers", "QwenImageTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKLQwenImage"],
}

_WAN_I2V: Config = {**_WAN_A14B, "in_channels": 36}
CHECKPOINTS: Mapping[str, tuple[Config, Mapping[str, Config]]] = {
    "Wan2.2-T2V-A14B": (
        {**_WAN_INDEX, **_EXPERTS, "boundary_ratio": 0.875},
        {"text_encoder": _UMT5_XXL, "transformer": _WAN_A14B, "transformer_2": _WAN_A14B, "vae": _WAN21_VAE},
    ),
    "Wan2.2-I2V-A14B": (
        {**_WAN_INDEX, **_EXPERTS, "_class_name": "WanImageToVideoPipeline", "boundary_ratio": 0.9},
        {"text_encoder": _UMT5_XXL, "transformer": _WAN_I2V, "transformer_2": _WAN_I2V, "vae": _WAN21_VAE},
    ),
    "Wan2.2-TI2V-5B": (
        {**_WAN_INDEX, "boundary_ratio": None, "expand_timesteps": True, "transformer_2": [None, None]},
        {"text_encoder": _UMT5_XXL, "transformer": _WAN_5B, "vae": _WAN22_VAE},
    ),
    "Qwen-Image": (
        _QWEN_INDEX,
        {"text_encoder": _QWEN_TEXT_ENCODER, "transformer": _QWEN_TRANSFORMER, "vae": _QWEN_VAE},
    ),
}
"""name -> model_index.json, and config.json by component"""


def write_configurations(folder: Path, name: str) -> Path:
    """Write the files of one of `CHECKPOINTS` into `folder/name`."""
    index, configs = CHECKPOINTS[name]
    checkpoint = folder / name
    for path, config in {".": index, **configs}.items():
        (checkpoint / path).mkdir(parents=True, exist_ok=True)
        file = "model_index.json" if path == "." else "config.json"
        (checkpoint / path / file).write_text(json.dumps(config))
    return checkpoint
