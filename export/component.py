"""One component of a checkpoint into the version folder of its Triton model."""

import gc
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from export.attention import fuse_attention
from export.errors import ParityError
from export.family import Part
from export.graph import BuiltGraph, Session, save, trace
from export.lora import add_adapter_inputs, linear_layers
from export.options import Options, Target
from export.source import Source

TOLERANCE = 1e-4
"""greatest absolute difference between a graph and its torch module"""


@dataclass(frozen=True)
class Exported:
    """What became of one component."""

    component: str
    model: str
    source: Source
    export_seconds: float | None = None
    """loading, tracing and saving; None when the graphs that were there serve"""
    compare_seconds: float | None = None

    @property
    def graphs(self) -> list[str]:
        return [name for name in self.source.files if name.endswith(".onnx")]

    @property
    def is_reused(self) -> bool:
        return self.export_seconds is None


def export_component(
    part: Part,
    folder: Path,
    version: Path,
    options: Options,
    fingerprints: tuple[str, str],
    on_stage: Callable[[str], None],
) -> Exported:
    """Trace, save and compare it.

    Args:
        folder: of the component.
        version: to make.
        fingerprints: of the component and of the exporter.

    Raises:
        CheckpointError: the component cannot be loaded.
        ParityError: a graph computes something else.
    """
    started = time.monotonic()
    on_stage(f"{part.component}: loading")
    module = part.load(folder)
    version.mkdir()
    for graph in part.graphs(module):
        if isinstance(graph, BuiltGraph):
            on_stage(f"{part.component}: building {graph.file}")
            model = graph.build()
        else:
            on_stage(f"{part.component}: tracing {graph.file}")
            model = trace(graph)
        if part.takes_adapters:
            add_adapter_inputs(model)
        if options.target is Target.ONNXRUNTIME:
            fuse_attention(model)
        on_stage(f"{part.component}: saving {graph.file}")
        save(model, version / graph.file, options.external_above)
    if part.bands is not None:
        part.bands(module).write(version)
    export_seconds = time.monotonic() - started

    max_difference = _compare(part, module, version, on_stage)
    component, exporter = fingerprints
    source = Source(
        component=component,
        exporter=exporter,
        files={path.name: path.stat().st_size for path in sorted(version.iterdir())},
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        max_difference=max_difference,
        adapter_targets=dict(linear_layers(module)) if part.takes_adapters else {},
    )
    source.write(version)
    compare_seconds = time.monotonic() - started - export_seconds
    return Exported(part.component, part.model, source, export_seconds, compare_seconds)


def _compare(part: Part, module: nn.Module, version: Path, on_stage: Callable[[str], None]) -> float:
    """The greatest difference."""
    gc.collect()  # the exporter's reference cycles hold the weights once more
    on_stage(f"{part.component}: comparing with {part.class_name}")
    sessions = {path.name: Session(path) for path in version.glob("*.onnx")}
    differences = []
    for comparison in part.compare(module, sessions):
        # written so that a NaN fails
        if not comparison.max_difference <= TOLERANCE:
            raise ParityError(
                f"{part.model} differs from {part.class_name} by {comparison.max_difference:.3g} "
                f"on {comparison.inputs}; at most {TOLERANCE:g} is allowed"
            )
        differences.append(comparison.max_difference)
    return max(differences)
