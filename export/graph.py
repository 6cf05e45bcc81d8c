"""One ONNX file: from a torch module to the file, and back into ONNX Runtime."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

OPSET = 23
"""the first with Attention and RMSNormalization, and one that TensorRT reads"""

USED_PARAMETERS = "used parameters"
"""in the `meta` of a traced graph: names of those that are not without effect"""

_STACK_TRACE = "pkg.torch.onnx.stack_trace"
_COPYING_OPTIMIZERS = ["ConstantFolding", "NchwcTransformer"]
"""what ONNX Runtime would make other weights with"""


@dataclass(frozen=True)
class Graph:
    """What to trace, and how the file's inputs and outputs are called."""

    file: str
    module: nn.Module
    example: tuple[Tensor, ...]
    """arguments to trace with; no dynamic size in them is 1 or equal to another by accident"""
    dynamic_shapes: Mapping[str, Any]
    """parameter of `module.forward` -> {dimension: name}, as torch.export takes it"""
    inputs: Sequence[str]
    outputs: Sequence[str]
    sizes: Mapping[str, Sequence[str | int]] = field(default_factory=dict)
    """input -> names of its sizes, where `dynamic_shapes` cannot name them"""


@dataclass(frozen=True)
class BuiltGraph:
    """A graph that is not traced but put together operator by operator."""

    file: str
    build: Callable[[], ir.Model]


class Session:
    """An ONNX file in ONNX Runtime, on the CPU, with external weights where they are: in the file, not in memory."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.enable_cpu_mem_arena = False
        options.enable_mem_reuse = False  # weights that are widened go as soon as they were used
        options.add_session_config_entry("session.disable_prepacking", "1")
        self.runtime = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"], disabled_optimizers=_COPYING_OPTIMIZERS
        )
        self._inputs = [value.name for value in self.runtime.get_inputs()]

    def run(self, *arguments: NDArray[Any]) -> list[NDArray[Any]]:
        """All outputs, for the inputs in the graph's order."""
        feeds = {name: np.ascontiguousarray(value) for name, value in zip(self._inputs, arguments, strict=True)}
        outputs: list[NDArray[Any]] = self.runtime.run(None, feeds)
        return outputs

    def run_one(self, *arguments: NDArray[Any]) -> NDArray[Any]:
        """The output of a graph that has one."""
        (output,) = self.run(*arguments)
        return output


def trace(graph: Graph) -> ir.Model:
    """The canonical, standard-ONNX form of the module."""
    with _quiet(), torch.no_grad():
        program = torch.onnx.export(
            graph.module.eval(),
            graph.example,
            dynamo=True,
            dynamic_shapes=dict(graph.dynamic_shapes),
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None  # it is None only for an export straight to a file
    for node in program.model.graph:
        # lines of the machine that exported; the module scopes beside them stay, they name the weights' owners
        node.metadata_props.pop(_STACK_TRACE, None)
    for value in program.model.graph.inputs:
        if value.name is not None and value.name in graph.sizes:
            value.shape = ir.Shape(graph.sizes[value.name])
    program.model.meta[USED_PARAMETERS] = _used_parameters(program)
    return program.model


def _used_parameters(program: torch.onnx.ONNXProgram) -> set[str]:
    assert program.exported_program is not None
    names = program.exported_program.graph_signature.inputs_to_parameters
    return {names[node.name] for node in program.exported_program.graph.nodes if node.name in names and node.users}


def save(model: ir.Model, path: Path, external_above: int) -> None:
    """Write the file, with the weights in `<file>.data` beside it when they are more than so many bytes.

    Those that are in a file already stay there.
    """
    weights = sum(
        value.const_value.nbytes
        for value in model.graph.initializers.values()
        if value.const_value and not isinstance(value.const_value, ir.ExternalTensor)
    )
    ir.save(model, path, external_data=f"{path.name}.data" if weights > external_above else None)


@contextmanager
def _quiet() -> Iterator[None]:
    """torch's exporter logs and warns about its own internals."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
