"""One component of a checkpoint into the version folder of its Triton model."""

import gc
import json
import time
from collections.abc import Callable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import onnx_ir as ir
from torch import nn

from export.attention import expand_masks, fuse_attention
from export.emulation import emulate
from export.errors import ParityError
from export.family import Part
from export.graph import BuiltGraph, Graph, Session, save
from export.lora import adapter_targets, add_adapter_inputs
from export.mapped_module import MappedModule
from export.options import EXTERNAL_ABOVE, Form, Options, Precision, Target
from export.precision import HALF_TOLERANCE, SignalToNoise, WideConvolutions
from export.shared_trace import SharedTrace, trace_apart
from export.source import Source, component_config
from export.weights_file import write_weights

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
    kept: Path | None = None
    """where interrupted exports have left weights"""

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

    Its weights are never in memory as a whole: they are mapped from the checkpoint, and from the file that is made.

    Args:
        on_stage: hears what is being done.
        traces: graphs for others of the same configuration are taken from here, and put here.

    Raises:
        CheckpointError: the component cannot be loaded.
        ParityError: a graph computes something else.
    """
    started = time.monotonic()
    part, version = task.part, task.version
    on_stage(f"{part.component}: loading")
    form = options.form(part)
    mapped = MappedModule(part.load, task.folder, form.precision, version.parent)
    version.mkdir()
    used: set[str] = set()
    for graph in part.graphs(mapped.module, form):
        if isinstance(graph, BuiltGraph):
            on_stage(f"{part.component}: building {graph.file}")
            with mapped.as_stored():
                save(_finish(graph.build(), options.target, form), version / graph.file, options.external_above)
            used.update(mapped.stored)
        else:
            used |= mapped.names_in(graph.module) or set(mapped.stored)
            _export_traced(graph, mapped, task, options, on_stage, {} if traces is None else traces)
    if part.bands is not None:
        part.bands(mapped.module).write(version)
    if part.colours is not None:
        on_stage(f"{part.component}: fitting the colours of its latents")
        full = MappedModule(part.load, task.folder, Precision.FLOAT32, version.parent)
        with full.computing(full.stored) as module:
            part.colours(module).write(version)
    export_seconds = time.monotonic() - started

    on_stage(f"{part.component}: comparing with {part.class_name}")
    gc.collect()  # the exporter's reference cycles hold the weights once more
    with _sessions(version, options) as sessions, mapped.computing(used) as module:
        if form.precision.is_half:
            full = MappedModule(part.load, task.folder, Precision.FLOAT32, version.parent)
            with full.computing(used) as reference, WideConvolutions():
                outcome = _compare_half(part, module, reference, sessions)
        else:
            outcome = _compare(part, module, sessions)
    source = Source(
        component=task.component,
        exporter=task.exporter,
        files={path.name: path.stat().st_size for path in sorted(version.iterdir())},
        parameters=sum(parameter.numel() for parameter in mapped.module.parameters()),
        target=options.target,
        precision=form.precision,
        max_difference=outcome.max_difference,
        signal_to_noise=outcome.signal_to_noise,
        adapter_targets=adapter_targets(mapped.module) if part.takes_adapters else None,
    )
    source.write(version)
    compare_seconds = time.monotonic() - started - export_seconds
    return Exported(part.component, part.model, source, export_seconds, compare_seconds)


def _export_traced(
    graph: Graph, mapped: MappedModule, task: Task, options: Options, on_stage: Callable[[str], None], traces: Traces
) -> None:
    """Save the graph, from the trace of an equal one where there is one."""
    component = task.part.component
    key = f"{task.trace_key} {graph.file}"
    if key in traces:
        shared = traces[key]
    else:
        on_stage(f"{component}: tracing {graph.file}")
        shared, has_values = trace_component(graph, mapped, task.part, options)
        if not has_values:
            traces[key] = shared
    size, above = sum(entry.bytes for entry in shared.entries), options.external_above
    if size <= above:
        model = shared.fill(mapped.stored)
    else:
        on_stage(f"{component}: writing {size / 1e9:.1f} GB of weights")
        places = write_weights(
            task.version,
            shared.entries,
            mapped.stored,
            f"{task.component} {task.exporter}",
            task.kept,
            lambda progress: on_stage(f"{component}: writing weights, {progress}"),
        )
        model, above = shared.refer(task.version, places), max(above, EXTERNAL_ABOVE)  # what is left are constants
    save(model, task.version / graph.file, above)


def trace_component(graph: Graph, mapped: MappedModule, part: Part, options: Options) -> tuple[SharedTrace, bool]:
    """One of the part's graphs without its weights, and whether it holds values that were computed from some
    nevertheless."""
    names = mapped.names_in(graph.module)
    parameters = {name: one for name, one in mapped.module.named_parameters() if name in names}
    traced = trace_apart(graph, parameters)
    computed = traced.computed
    if computed:  # the exporter has made constants of them: of what they were while it traced
        with mapped.with_values(computed):
            traced = trace_apart(graph, {name: one for name, one in parameters.items() if name not in computed})
    if part.takes_adapters:
        add_adapter_inputs(traced.model, graph.module)
    finished = _finish(traced.model, options.target, options.form(part))
    return SharedTrace(finished, traced.weights), bool(computed)


def _finish(model: ir.Model, target: Target, form: Form) -> ir.Model:
    """What is done to every graph, in place."""
    if target is Target.ONNX:
        expand_masks(model.graph)
    elif form.precision.is_half:
        return emulate(model)
    else:
        fuse_attention(model)
    return model


@dataclass(frozen=True)
class _Outcome:
    """Of the comparison."""

    max_difference: float
    signal_to_noise: float | None = None
    """in half precision"""


@contextmanager
def _sessions(version: Path, options: Options) -> Iterator[dict[str, Session]]:
    """All graphs on the CPU, those for GPUs in the form that it can compute, with the same weights."""
    paths = sorted(version.glob("*.onnx"))
    if options.target is Target.ONNXRUNTIME:
        yield {path.name: Session(path) for path in paths}
        return
    emulated = {path.name: path.with_suffix(".emulated") for path in paths}
    try:
        for path in paths:
            ir.save(emulate(ir.load(path)), emulated[path.name])
        yield {name: Session(file) for name, file in emulated.items()}
    finally:
        for file in emulated.values():
            file.unlink(missing_ok=True)


def _compare(part: Part, module: nn.Module, sessions: Mapping[str, Session]) -> _Outcome:
    """With the module in float32: the greatest difference. Raises ParityError."""
    differences = []
    for comparison in part.compare(module, sessions):
        # written so that a NaN fails
        if not comparison.max_difference <= TOLERANCE:
            raise ParityError(
                f"{part.model} differs from {part.class_name} by {comparison.max_difference:.3g} "
                f"on {comparison.inputs}; at most {TOLERANCE:g} is allowed"
            )
        differences.append(comparison.max_difference)
    return _Outcome(max(differences))


def _compare_half(part: Part, module: nn.Module, reference: nn.Module, sessions: Mapping[str, Session]) -> _Outcome:
    """With the module in float32, beside the module in half precision, which rounds otherwise but as much.

    Raises ParityError.
    """
    of_graph, of_module, differences = SignalToNoise(), SignalToNoise(), []
    pairs = zip(part.compare(module, sessions), part.compare(reference, sessions), strict=True)
    for half, full in pairs:
        of_graph.add(full.result, full.expected)
        of_module.add(half.expected, full.expected)
        differences.append(full.max_difference)
    if not of_graph.decibels >= of_module.decibels - HALF_TOLERANCE:
        raise ParityError(
            f"{part.model} is {of_graph.decibels:.1f} dB from {part.class_name} in float32; the class itself in this "
            f"precision is {of_module.decibels:.1f} dB from it, and {HALF_TOLERANCE:g} dB less are allowed"
        )
    return _Outcome(max(differences), of_graph.decibels)
