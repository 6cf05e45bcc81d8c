"""One component of a checkpoint into the version folder of its Triton model."""

import gc
import json
import time
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import onnx_ir as ir
from torch import nn

from export.attention import fuse_attention
from export.errors import ParityError
from export.family import Part
from export.graph import BuiltGraph, Graph, Session, save, trace
from export.lora import adapter_targets, add_adapter_inputs
from export.options import Options, Target
from export.shared_trace import SharedTrace, distinct_weights, find_weights, keeps_names, trace_apart
from export.source import Source, component_config

TOLERANCE = 1e-4
"""greatest absolute difference between a graph and its torch module"""

Traces = MutableMapping[str, SharedTrace]
"""what was traced already, by `Task.trace_key` and file"""


@dataclass(frozen=True)
class Task:
    """A component that is to be exported."""

    part: Part
    folder: Path
    """of the component, in the checkpoint"""
    version: Path
    """to make"""
    component: str
    """fingerprint of the component"""
    exporter: str
    """fingerprint of what exports it"""

    @property
    def weight_bytes(self) -> int:
        """As the checkpoint stores them."""
        return sum(file.stat().st_size for file in self.folder.glob("*.safetensors"))

    @property
    def trace_key(self) -> str:
        """Components for which it is equal have the same graph, with other weights."""
        kind = self.part.graphs
        of_graph = kind.keywords if isinstance(kind, partial) else {}
        function: Any = kind.func if isinstance(kind, partial) else kind
        named = f"{function.__module__}.{function.__qualname__}"
        return json.dumps([named, repr(of_graph), self.part.class_name, component_config(self.folder)], sort_keys=True)


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
    task: Task, options: Options, on_stage: Callable[[str], None], traces: Traces | None = None
) -> Exported:
    """Trace, save and compare it.

    Args:
        on_stage: hears what is being done.
        traces: graphs for others of the same configuration are taken from here, and put here; None: there are none.

    Raises:
        CheckpointError: the component cannot be loaded.
        ParityError: a graph computes something else.
    """
    started = time.monotonic()
    part, version = task.part, task.version
    on_stage(f"{part.component}: loading")
    module = part.load(task.folder)
    version.mkdir()
    for graph in part.graphs(module):
        if isinstance(graph, BuiltGraph):
            on_stage(f"{part.component}: building {graph.file}")
            _save(_finish(graph.build(), options), version / graph.file, options)
        else:
            _export_traced(graph, task, options, on_stage, traces)
    if part.bands is not None:
        part.bands(module).write(version)
    export_seconds = time.monotonic() - started

    max_difference = _compare(part, module, version, on_stage)
    source = Source(
        component=task.component,
        exporter=task.exporter,
        files={path.name: path.stat().st_size for path in sorted(version.iterdir())},
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        max_difference=max_difference,
        adapter_targets=adapter_targets(module) if part.takes_adapters else None,
    )
    source.write(version)
    compare_seconds = time.monotonic() - started - export_seconds
    return Exported(part.component, part.model, source, export_seconds, compare_seconds)


def _export_traced(
    graph: Graph, task: Task, options: Options, on_stage: Callable[[str], None], traces: Traces | None
) -> None:
    """Save the graph, from the trace of an equal one where there is one."""
    component, file = task.part.component, task.version / graph.file
    key = f"{task.trace_key} {graph.file}"
    if traces is None:
        on_stage(f"{component}: tracing {graph.file}")
        _save(_finish(_trace(graph, task.part), options), file, options)
        return
    if key not in traces:
        on_stage(f"{component}: tracing {graph.file}")
        with distinct_weights(graph.module):
            model = trace(graph)
            weights = find_weights(model, graph.module)
        if weights is None or (task.part.takes_adapters and not keeps_names(weights, graph.module)):
            _export_traced(graph, task, options, on_stage, traces=None)
            return
        if task.part.takes_adapters:
            add_adapter_inputs(model, graph.module)
        traces[key] = SharedTrace(_finish(model, options), weights)
    on_stage(f"{component}: filling {graph.file} with its weights")
    _save(traces[key].fill(graph.module), file, options)


def _trace(graph: Graph, part: Part) -> ir.Model:
    if not part.takes_adapters:
        return trace(graph)
    model = trace_apart(graph)
    add_adapter_inputs(model, graph.module)
    return model


def _finish(model: ir.Model, options: Options) -> ir.Model:
    """What is done to every graph, in place."""
    if options.target is Target.ONNXRUNTIME:
        fuse_attention(model)
    return model


def _save(model: ir.Model, file: Path, options: Options) -> None:
    save(model, file, options.external_above)


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
