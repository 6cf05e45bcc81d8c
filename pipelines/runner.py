"""How sampling code calls the models of a checkpoint, wherever they run."""

from collections.abc import Awaitable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Tensors = Mapping[str, Array]


@dataclass(frozen=True)
class Chunk:
    """Which part of a stateful model's sequence a call is: the model keeps its caches from `start` to `end`."""

    sequence_id: int
    """1..2^63, the same for every call of one sequence"""
    start: bool = False
    end: bool = False


@dataclass(frozen=True)
class Shared:
    """Inputs that a call has once, not once a row; rows whose `key` is equal may share a call."""

    key: Hashable = ()
    tensors: Tensors = field(default_factory=dict)

    def __or__(self, other: "Shared") -> "Shared":
        return Shared((self.key, other.key), {**self.tensors, **other.tensors})


class ModelRunner(Protocol):
    """Runs a model by name: over Triton BLS, or in this process."""

    async def infer(self, model: str, inputs: Tensors, output: str, chunk: Chunk | None = None) -> Array:
        """The tensor `output` of one call. Cancelling it stops no call that is under way, but waits for its end.

        Raises:
            ModelFailed: the model could not be run, or lacks the output.
            ModelAway: its process is not there, and did not come back in time.
        """


class Evaluate(Protocol):
    """Evaluates a transformer on rows, which may share a call with those of other jobs: `StepBatcher.evaluate`."""

    def __call__(self, model: str, rows: Tensors, shared: Shared = ...) -> Awaitable[Array]: ...


def float32(array: Array) -> NDArray[np.float32]:
    """`array` as contiguous float32, copied only where it is not that already."""
    return np.ascontiguousarray(array, dtype=np.float32)
