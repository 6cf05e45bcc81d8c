"""What every engine offers, whatever it runs graphs with. Importing this imports neither torch nor an engine."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


class Tensor(Protocol):
    """Contiguous memory with a shape, a dtype and a device, which others use without a copy (DLPack).

    `torch.Tensor`, `onnxruntime.OrtValue`, Triton's tensors and numpy's arrays are such.
    """

    def __dlpack__(self, *, stream: Any = ...) -> Any: ...

    def __dlpack_device__(self) -> tuple[Any, Any]: ...


Inputs = Mapping[str, Tensor | str]
"""by name; a string is what DLPack has no dtype for"""
LORA_INPUT = "lora"
"""a transformer's input for adapters: `protocol.lora.AppliedLoras` as JSON"""

PLAN_FILE = "plan.json"
"""in a version folder that has TensorRT engines: `runtime.engine_plan.EnginePlans`"""


class EngineUnusable(Exception):
    """An engine does not fit what it is to run on or with; the text is a sentence for people."""


@dataclass(frozen=True)
class Chunk:
    """Which part of a stateful model's sequence a call is: the model keeps its caches from `start` to `end`."""

    sequence_id: int | str
    """the same for every call of one sequence; Triton takes 1..2^63"""
    start: bool = False
    end: bool = False


class Engine(Protocol):
    """The graphs of one model, loaded."""

    def run(self, inputs: Inputs, chunk: Chunk | None = None) -> Mapping[str, Tensor]:
        """All outputs for one set of inputs, on the device that computed them, in the dtypes that the graph gives.

        Args:
            inputs: in the dtypes that the graph asks for, on any device that the engine can read.
            chunk: for a model that keeps state, and only for one.

        Raises:
            LookupError: the chunk's sequence was never started, or has been forgotten.
            PipelineError: an adapter cannot be applied any more.
        """

    def forget_idle(self, seconds: float) -> None:
        """Drop the state of sequences that were not called for so long."""
