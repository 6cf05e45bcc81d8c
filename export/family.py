"""How a model family is described to the exporter."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from export.checkpoint import Layout
from export.graph import BuiltGraph, Graph, Session
from export.options import Form, Precision
from runtime.bands import BandPlan
from runtime.latent_colours import LatentColours

if TYPE_CHECKING:  # the fingerprint of a graph's code covers what this module imports, and cards change no graph
    from export.checkpoint import Checkpoint
    from export.defaults import OwnDefaults
    from protocol.model_card import ModelCard


@dataclass(frozen=True)
class Comparison:
    """One run of a graph beside its torch module, on the same random input."""

    inputs: str
    """the sizes, for people"""
    compute: Callable[[], NDArray[np.float32]]
    """the graph's run"""
    expected: NDArray[np.float32]
    """of the module"""

    @cached_property
    def result(self) -> NDArray[np.float32]:
        """Of the graph, which runs when it is first asked for: it may take minutes, and not all need it."""
        return self.compute()

    @property
    def max_difference(self) -> float:
        """Greatest absolute difference of any value."""
        return float(np.abs(self.result - self.expected).max())


@dataclass(frozen=True)
class Part:
    """A component of the checkpoint with weights, and the Triton model that it becomes."""

    component: str
    """what the card's `Components` call it"""
    class_name: str
    """what it must be"""
    model: str
    """its folder in the model repository"""
    load: Callable[[Path, Precision], nn.Module]
    """the module in that precision from the folder in the checkpoint, with diffusers' own islands of float32"""
    graphs: Callable[[Any, Form], Sequence[Graph | BuiltGraph]]
    """the files of the Triton model's version folder, of a module that was loaded in the form's precision"""
    compare: Callable[[Any, Mapping[str, Session]], Iterator[Comparison]]
    """the untouched module, in any precision, against the sessions, by file name; on the same inputs each time"""
    bands: Callable[[Any], BandPlan] | None = None
    """how a VAE is cut, which goes into bands.json"""
    colours: Callable[[Any], LatentColours] | None = None
    """of a decoder: fits what its latents look like, which goes into colours.json, with the module in float32"""
    optional: bool = False
    folder: str | None = None
    """its folder in the checkpoint; None: called as the component is"""
    precisions: frozenset[Precision] = frozenset(Precision)
    """that its values fit"""

    @property
    def source(self) -> str:
        """Its folder in the checkpoint."""
        return self.folder or self.component

    @property
    def modules(self) -> list[str]:
        """Those of ours that make its graphs."""
        functions = (self.load, self.graphs, self.compare, self.bands, self.colours)
        return [_module(function) for function in functions if function is not None]

    @property
    def is_vae(self) -> bool:
        """A decoder or encoder."""
        return self.bands is not None

    @property
    def takes_adapters(self) -> bool:
        """Low-rank adapters (LoRA) change transformers only."""
        return self.component in ("transformer", "transformer_2")


@dataclass(frozen=True, kw_only=True)
class Published:
    """The published checkpoint of a family, for what neither a checkpoint's files nor its defaults.json say."""

    model_id: str
    defaults: Mapping[str, Any]
    """`SamplingDefaults`"""
    largest: tuple[int, int]
    """width and height, the largest that it was made for"""
    max_pixel_frames: int
    max_sequence_length: int
    """tokens of a prompt"""


@dataclass(frozen=True)
class Family:
    """Everything that the exporter needs to know about one kind of checkpoint."""

    name: str
    pipelines: tuple[str, ...]
    """diffusers' pipeline classes that it is published as"""
    parts: tuple[Part, ...]
    published: Published
    check: "Callable[[Checkpoint], None]"
    """that the components fit each other and the family, by their configurations"""
    card: "Callable[[Checkpoint, OwnDefaults], ModelCard]"
    """checks that, too"""
    token_timesteps: bool = False
    """the transformer takes a timestep per token: `expand_timesteps` of model_index.json"""

    @property
    def layout(self) -> Layout:
        return Layout(
            pipelines=self.pipelines,
            models={part.source: part.class_name for part in self.parts},
            optional=frozenset(part.source for part in self.parts if part.optional),
        )


def _module(function: Callable[..., Any]) -> str:
    return _module(function.func) if isinstance(function, partial) else function.__module__
