"""PEFT's `LoraConfig`, as far as it decides how an adapter is applied."""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, FiniteFloat, PositiveInt, ValidationError

T = TypeVar("T")

_PLAIN_PATTERN = re.compile(r"\^?[\w.]+")


_PEFT_TYPES = {"LOKR": "LoKr", "LOHA": "LoHa", "VERA": "VeRA", "ADALORA": "AdaLoRA"}
"""those that people write otherwise"""
_OTHER_KINDS: dict[str, Callable[[Any], str | None]] = {
    "peft_type": lambda value: (
        _PEFT_TYPES.get(value, value[:20]) if isinstance(value, str) and value != "LORA" else None
    ),
    "use_dora": lambda value: "DoRA" if value is True else None,
}
"""settings, and which other kind of adapter their value tells of"""


class LoraSettings(BaseModel):
    """The fields that matter, with PEFT's defaults; a value that would need another kind of layer is refused."""

    model_config = ConfigDict(frozen=True)

    peft_type: Literal["LORA"] = "LORA"
    r: PositiveInt = 8
    lora_alpha: FiniteFloat = 8
    rank_pattern: dict[str, PositiveInt] | None = None
    alpha_pattern: dict[str, FiniteFloat] | None = None
    use_rslora: bool = False
    use_dora: Literal[False] = False

    @classmethod
    def parse(cls, values: dict[str, Any], where: str) -> Self:
        """Raises ValueError naming the setting and where it stands."""
        for setting, is_other_kind in _OTHER_KINDS.items():
            if (kind := is_other_kind(values.get(setting))) is not None:
                raise ValueError(f"{where}: {setting}: it is {kind}, which is not supported; LoRA is")
        try:
            settings = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            raise ValueError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        for pattern in (*(settings.rank_pattern or {}), *(settings.alpha_pattern or {})):
            # PEFT takes regular expressions; names are what trainers write, and can not be made to run for ever
            if not _PLAIN_PATTERN.fullmatch(_literal(pattern)):
                raise ValueError(f"{where}: the pattern {pattern!r} is not the name of a layer")
        return settings

    def factor(self, layer: str, rank: int) -> float:
        """What B @ A is multiplied by.

        Raises:
            ValueError: the layer's rank is not the one that was set.
        """
        expected = _of_layer(self.rank_pattern or {}, layer, self.r)
        if rank != expected:
            raise ValueError(f"{layer} has rank {rank}, and its settings say {expected}")
        alpha = _of_layer(self.alpha_pattern or {}, layer, self.lora_alpha)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def _literal(pattern: str) -> str:
    return pattern.replace("\\.", ".")


def _of_layer(patterns: Mapping[str, T], layer: str, default: T) -> T:
    """The value of the first pattern that is the end of the layer's name, or all of it after a `^`."""
    for pattern, value in patterns.items():
        name = _literal(pattern)
        if layer == name.removeprefix("^") or layer.endswith(f".{name}"):
            return value
    return default
