"""How a model family is described to the exporter."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from export.checkpoint import Checkpoint, Layout
from export.defaults import OwnDefaults
from export.errors import UnknownFamily
from export.graph import Graph, Session
from pipelines.model_card import ModelCard


@dataclass(frozen=True)
class Comparison:
    """One run of a graph beside its torch module, on the same random input."""

    inputs: str
    """the sizes, for people"""
    max_difference: float
    """greatest absolute difference of any output value"""


@dataclass(frozen=True)
class Part:
    """A component of the checkpoint with weights, and the Triton model that it becomes."""

    component: str
    """its folder in the checkpoint"""
    class_name: str
    """what it must be"""
    model: str
    """its folder in the model repository"""
    load: Callable[[Path], nn.Module]
    """the float32 module from the component's folder"""
    graphs: Callable[[Any], list[Graph]]
    """the files of the Triton model's version folder"""
    compare: Callable[[Any, Mapping[str, Session]], Iterator[Comparison]]
    """the untouched module against the sessions, by file name"""
    optional: bool = False

    @property
    def takes_adapters(self) -> bool:
        """Low-rank adapters (LoRA) change transformers only."""
        return self.component in ("transformer", "transformer_2")


@dataclass(frozen=True)
class Family:
    """Everything that the exporter needs to know about one kind of checkpoint."""

    name: str
    pipeline: str
    """diffusers' pipeline class"""
    parts: tuple[Part, ...]
    card: Callable[[Checkpoint, OwnDefaults], ModelCard]
    """checks that the components fit each other, too"""

    @property
    def layout(self) -> Layout:
        return Layout(
            pipeline=self.pipeline,
            models={part.component: part.class_name for part in self.parts},
            optional=frozenset(part.component for part in self.parts if part.optional),
        )


def get_family(name: str) -> Family:
    """The family of that name.

    Raises:
        UnknownFamily: listing those that there are.
    """
    from export.wan_t2v import WAN_T2V

    families = {family.name: family for family in (WAN_T2V,)}
    if name not in families:
        raise UnknownFamily(f"unknown family {name!r}; known: {', '.join(sorted(families))}")
    return families[name]
