"""What of an adapter goes where in a transformer."""

import re
from dataclasses import dataclass, field

from pipelines.lora.file import Difference, Layer, Updates
from pipelines.lora.keys import Address, Kind
from pipelines.lora.names import Names
from pipelines.lora.targets import Targets

_BLOCK = re.compile(r"(?<=blocks[._])\d+")
_MOST_NAMED = 6


@dataclass
class Fit:
    """By the names that diffusers gives."""

    layers: dict[str, Layer] = field(default_factory=dict)
    """low-rank updates of linear layers"""
    weights: dict[str, Difference] = field(default_factory=dict)
    """differences of their weights, [out, in]"""
    parameters: dict[str, list[Difference | Layer]] = field(default_factory=dict)
    """updates of other parameters; a low-rank one is of a convolution"""
    lacking: list[str] = field(default_factory=list)
    """what the transformer lacks, in the file's words"""
    misshapen: list[str] = field(default_factory=list)
    """what it has of another shape, likewise"""

    def __bool__(self) -> bool:
        return bool(self.layers or self.weights or self.parameters)


class SizeError(ValueError):
    """A low-rank update is for a layer of other sizes: the adapter is for another model."""


class Places:
    """Those of one transformer.

    Args:
        targets: what it has, or of it what is used.
    """

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        self._names = Names(targets.layers, targets.parameters)

    def fit(self, updates: Updates) -> Fit:
        """Find the places of a file's updates.

        Raises:
            SizeError: the file is for a model of other sizes.
            ValueError: two updates are for the same place.
        """
        found = Fit()
        named: dict[tuple[str, bool], str] = {}
        for address, update in _all(updates):
            target = self._names.find(address)
            if target is None:
                found.lacking.append(address.module)
                continue
            place = (target, isinstance(update, Layer))
            if place in named:
                raise ValueError(f"{address.module} and {named[place]} are the same layer")
            named[place] = address.module
            _place(found, target, update, self._targets, address.module)
        return found


def _all(updates: Updates) -> list[tuple[Address, Layer | Difference]]:
    return [
        *((Address(name, Kind.WEIGHT), layer) for name, layer in updates.layers.items()),
        *updates.differences.items(),
    ]


def _place(found: Fit, target: str, update: Layer | Difference, targets: Targets, module: str) -> None:
    if target in targets.parameters:
        if _significant(update.shape) != _significant(targets.parameters[target]):
            found.misshapen.append(module)
        else:
            found.parameters.setdefault(target, []).append(update)
        return
    fan_in, fan_out = targets.layers[target]
    if isinstance(update, Layer):
        if _significant(update.shape) != _significant((fan_out, fan_in)):
            wants = " x ".join(map(str, (*update.shape[1:], update.shape[0])))
            raise SizeError(f"{target} is {fan_in} x {fan_out}, and the adapter is for {wants}")
        found.layers[target] = update
    elif _significant(update.shape) != _significant((fan_out, fan_in)):
        found.misshapen.append(module)
    else:
        found.weights[target] = update


def _significant(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Without sizes of 1, which some writers add or drop."""
    return tuple(size for size in shape if size != 1)


def named_briefly(modules: list[str]) -> str:
    """The first of those that differ in their block only, and how many these are."""
    groups: dict[str, list[str]] = {}
    for module in dict.fromkeys(modules):
        groups.setdefault(_BLOCK.sub("", module), []).append(module)
    shown = [names[0] if len(names) == 1 else f"{names[0]} ({len(names)} alike)" for names in groups.values()]
    more = f" and {len(shown) - _MOST_NAMED} more" if len(shown) > _MOST_NAMED else ""
    return ", ".join(shown[:_MOST_NAMED]) + more
