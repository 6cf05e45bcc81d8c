"""How sampling code calls the models of a checkpoint, wherever they run.

Tensors have the dtype that the model asks for, and lie on any device that its engine can read; where they leave this
process they do so by DLPack.
"""

from collections.abc import Awaitable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import torch

from runtime.engine import Chunk

__all__ = ["Chunk", "Evaluate", "Inputs", "ModelRunner", "Shared", "Tensors"]

Tensors = Mapping[str, torch.Tensor]
Inputs = Mapping[str, torch.Tensor | str]
"""of a model, by name; a string is a tensor of one string"""


@dataclass(frozen=True)
class Shared:
    """Inputs that a call has once, not once per row; rows whose `key` is equal may share a call."""

    key: Hashable = ()
    inputs: Inputs = field(default_factory=dict)

    def __or__(self, other: "Shared") -> "Shared":
        return Shared((self.key, other.key), {**self.inputs, **other.inputs})


class ModelRunner(Protocol):
    """Runs a model by name: over Triton BLS, or in this process."""

    async def infer(self, model: str, inputs: Inputs, output: str, chunk: Chunk | None = None) -> torch.Tensor:
        """The tensor `output` of one call. Cancelling it stops no call that is under way, but waits for its end.

        Raises:
            ModelFailed: the model could not be run, or lacks the output.
            ModelAway: its process is not there, and did not come back in time.
        """


class Evaluate(Protocol):
    """Evaluates a transformer on rows, which may share a call with those of other jobs: `StepBatcher.evaluate`."""

    def __call__(self, model: str, rows: Tensors, shared: Shared = ...) -> Awaitable[torch.Tensor]: ...
