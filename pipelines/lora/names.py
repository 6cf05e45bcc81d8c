"""The names under which adapter files know what a transformer has."""

from collections.abc import Iterable, Iterator

from pipelines.lora.keys import Address, Kind

# diffusers' name of a module, and that of Wan's own repository, which trainers and ComfyUI use; both are endings.
_WAN_NAMES = {
    "attn1.to_q": "self_attn.q",
    "attn1.to_k": "self_attn.k",
    "attn1.to_v": "self_attn.v",
    "attn1.to_out.0": "self_attn.o",
    "attn1.norm_q": "self_attn.norm_q",
    "attn1.norm_k": "self_attn.norm_k",
    "attn2.to_q": "cross_attn.q",
    "attn2.to_k": "cross_attn.k",
    "attn2.to_v": "cross_attn.v",
    "attn2.to_out.0": "cross_attn.o",
    "attn2.norm_q": "cross_attn.norm_q",
    "attn2.norm_k": "cross_attn.norm_k",
    "attn2.add_k_proj": "cross_attn.k_img",
    "attn2.add_v_proj": "cross_attn.v_img",
    "attn2.norm_added_k": "cross_attn.norm_k_img",
    "norm2": "norm3",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
    "condition_embedder.time_proj": "time_projection.1",
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.image_embedder.norm1": "img_emb.proj.0",
    "condition_embedder.image_embedder.ff.net.0.proj": "img_emb.proj.1",
    "condition_embedder.image_embedder.ff.net.2": "img_emb.proj.3",
    "condition_embedder.image_embedder.norm2": "img_emb.proj.4",
    "proj_out": "head.head",
}
_TABLE, _WAN_TABLE = "scale_shift_table", "modulation"
_WAN_HEAD = "head"
"""whose table diffusers gives to the transformer itself"""
_IN_A_LIST = ".to_out.0"
"""the list's other module is a dropout, so that some call the layer by the list's name"""


class Names:
    """Of one transformer.

    Args:
        layers: its linear layers, as diffusers calls them.
        parameters: its other parameters, likewise.
    """

    def __init__(self, layers: Iterable[str], parameters: Iterable[str]) -> None:
        self._targets: dict[Address, str] = {}
        for layer in layers:
            self._add(layer, (Address(name, Kind.WEIGHT) for name in _module_names(layer)))
        for parameter in parameters:
            self._add(parameter, _parameter_addresses(parameter))

    def find(self, address: Address) -> str | None:
        """The layer whose weight, or the parameter which, a file has something for; None where there is none."""
        return self._targets.get(address)

    def _add(self, target: str, addresses: Iterable[Address]) -> None:
        for module, kind in addresses:
            self._targets[Address(module, kind)] = target
            self._targets[Address(module.replace(".", "_"), kind)] = target


def _parameter_addresses(parameter: str) -> Iterator[Address]:
    module, _, own_name = parameter.rpartition(".")
    if own_name == _TABLE:
        wan_owner = module or _WAN_HEAD
        yield Address(wan_owner, Kind.TABLE)
        for name in (parameter, f"{wan_owner}.{_WAN_TABLE}"):
            yield Address(name, Kind.WEIGHT)
    elif own_name in (Kind.WEIGHT, Kind.BIAS):
        yield from (Address(name, Kind(own_name)) for name in _module_names(module))
    else:
        yield Address(parameter, Kind.WEIGHT)


def _module_names(module: str) -> list[str]:
    names = [module]
    if module.endswith(_IN_A_LIST):
        names.append(module.removesuffix(".0"))
    for ending, name in _WAN_NAMES.items():
        if module == ending or module.endswith(f".{ending}"):
            names.append(module.removesuffix(ending) + name)
    return names
