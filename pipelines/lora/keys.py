"""What the names of an adapter file's tensors say: whose layer, which layer, and which part of its update.

base_model.model.<layer>.lora_A.weight                PEFT
transformer.<layer>.lora_A.weight                     diffusers, finetrainers
transformer.base_model.model.<layer>.lora.down.weight SimpleTuner
diffusion_model.<layer>.lora_down.weight, .alpha      ComfyUI, ai-toolkit, diffusion-pipe, distilled adapters
<layer>.lora_A.default.weight                         DiffSynth
lora_unet_<layer>.lora_down.weight, .alpha            kohya, musubi; with underscores for the layer's dots
lora_transformer_<layer>.lora_down.weight, .alpha     OneTrainer, likewise
lycoris_<layer>.lora_down.weight, .alpha              LyCORIS, likewise
diffusion_model.<layer>.diff, .diff_b, .diff_m        full-rank differences of a weight, a bias, a modulation table
"""

import re
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple

_HIGH, _LOW = "transformer", "transformer_2"

PREFIXES: dict[str, str | None] = {
    "transformer.": _HIGH,
    "transformer_1.": _HIGH,
    "transformer_2.": _LOW,
    "diffusion_model.": None,
    "base_model.model.": None,
    "model.": None,
    "pipe.dit.": None,
    "pipe.dit2.": _LOW,
    "dit.": None,
    "dit2.": _LOW,
    "module.": None,
    "unet.": None,
}
"""what may stand before a layer's name, one behind another, and the transformer that it says the layer is of"""

FLAT_PREFIXES = ("lora_unet__", "lora_unet_", "lora_transformer_", "lycoris_")
"""those before a name with underscores for dots"""

MAX_LENGTH = 1_000
"""characters of a name"""

_INFIXES = ("processor", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "base_layer")
"""modules that trainers wrap around others; no layer is called so"""


class Part(Enum):
    """What a tensor is of its layer's update."""

    DOWN = "lora_A"
    UP = "lora_B"
    UP_BIAS = "lora_B's bias"
    ALPHA = "alpha"
    WEIGHT = "diff"
    BIAS = "diff_b"
    TABLE = "diff_m"


class Kind(StrEnum):
    """What of a module is updated."""

    WEIGHT = "weight"
    BIAS = "bias"
    TABLE = "table"


class Address(NamedTuple):
    """What a file's update is for, in the file's words."""

    module: str
    kind: Kind


_ADAPTER = r"(?:\.\w+)?"
"""the name that PEFT gives an adapter"""
_LORA = r"[._]lora(?:_linear_layer)?[._]"

_ENDINGS: tuple[tuple[str, Part], ...] = (
    (rf"{_LORA}(?:A|down)(?:{_ADAPTER}\.weight)?", Part.DOWN),
    (rf"{_LORA}(?:B|up)(?:{_ADAPTER}\.weight)?", Part.UP),
    (rf"{_LORA}(?:B|up){_ADAPTER}\.bias", Part.UP_BIAS),
    (r"\.alpha", Part.ALPHA),
    (r"\.(?:diff|w_norm)", Part.WEIGHT),
    (r"\.(?:diff_b|b_norm)", Part.BIAS),
    (r"\.diff_m", Part.TABLE),
)

_KINDS: tuple[tuple[str, str], ...] = (
    (r"[._](?:dora_scale|lora_magnitude_vector)\b.*", "DoRA"),
    (r"\.lokr_\w+", "LoKr"),
    (r"\.hada_\w+", "LoHa"),
    (r"\.b?oft_\w+.*", "OFT"),
    (r"\.(?:on_input|ia3_\w+).*", "IA3"),
    (r"\.[ab][12]\.weight", "GLoRA"),
    (r"\.vera_lambda_\w+.*", "VeRA"),
    (r"\.lora_mid(?:\.weight)?", "LoCon with a core (lora_mid)"),
    (r"\.lora_embedding_[AB].*", "LoRA of embeddings"),
    (r"\.(?:set_weight|reshape_weight)", "a replacement of weights"),
)
"""of adapters that are something else, and how they are called"""

_KEY = re.compile("|".join(f"(?P<layer{i}>.+?)(?:{ending})" for i, (ending, _) in enumerate(_ENDINGS)))
_OTHER_KIND = tuple((re.compile(f".+?(?:{ending})"), kind) for ending, kind in _KINDS)


@dataclass(frozen=True, slots=True)
class Key:
    """What a tensor's name says."""

    component: str
    """`transformer`, or `transformer_2` for the low-noise expert of two"""
    layer: str
    """as the file has it, without prefixes"""
    part: Part
    is_peft: bool = False
    """it starts with PEFT's prefix, so its alpha stands elsewhere"""


def parse_key(name: str) -> Key:
    """Raises ValueError: it is the name of nothing that can be applied."""
    if len(name) > MAX_LENGTH:
        raise ValueError(f"a tensor's name has {len(name)} characters")
    for pattern, kind in _OTHER_KIND:
        if pattern.fullmatch(name):
            raise ValueError(f"it is {kind} ({name}), which is not supported; LoRA and full-rank differences are")
    match = _KEY.fullmatch(name)
    if match is None:
        raise ValueError(f"{name} is no low-rank update or difference of a layer")
    (group,) = (group for group, text in match.groupdict().items() if text is not None)
    layer, part = match[group], _ENDINGS[int(group.removeprefix("layer"))][1]
    for prefix in FLAT_PREFIXES:
        if layer.startswith(prefix):
            return Key(_HIGH, layer.removeprefix(prefix), part)
    component, stripped = _strip(layer)
    return Key(component, stripped, part, is_peft=name.startswith("base_model.model."))


def _strip(layer: str) -> tuple[str, str]:
    """The component, and the layer's name in it."""
    component = _HIGH
    while prefix := next((prefix for prefix in PREFIXES if layer.startswith(prefix)), None):
        component = PREFIXES[prefix] or component
        layer = layer.removeprefix(prefix)
    return component, ".".join(name for name in layer.split(".") if name not in _INFIXES)
