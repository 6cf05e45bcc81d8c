"""The names under which adapter files know a transformer's linear layers."""

from collections.abc import Iterable

# diffusers' name of a layer, and that of Wan's own repository, which trainers and ComfyUI use; both are endings.
_WAN_NAMES = {
    "attn1.to_q": "self_attn.q",
    "attn1.to_k": "self_attn.k",
    "attn1.to_v": "self_attn.v",
    "attn1.to_out.0": "self_attn.o",
    "attn2.to_q": "cross_attn.q",
    "attn2.to_k": "cross_attn.k",
    "attn2.to_v": "cross_attn.v",
    "attn2.to_out.0": "cross_attn.o",
    "attn2.add_k_proj": "cross_attn.k_img",
    "attn2.add_v_proj": "cross_attn.v_img",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
    "condition_embedder.image_embedder.ff.net.2": "img_emb.proj.3",
    "proj_out": "head.head",
}

FLAT_PREFIX = "lora_unet_"
"""of the names that kohya's trainers write, with underscores for dots"""


def name_table(layers: Iterable[str]) -> dict[str, str]:
    """Every name of every layer -> the name that diffusers gives it."""
    table = {}
    for layer in layers:
        for name in (layer, *_wan_names(layer)):
            table[name] = layer
            table[FLAT_PREFIX + name.replace(".", "_")] = layer
    return table


def _wan_names(layer: str) -> list[str]:
    return [
        layer.removesuffix(ending) + name
        for ending, name in _WAN_NAMES.items()
        if layer == ending or layer.endswith(f".{ending}")
    ]
