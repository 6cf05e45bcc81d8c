"""Where sampling is, between two steps."""

from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class SolverState:
    """Everything that the steps to come depend on, beside the request.

    Solvers never write into these tensors: making a state copies nothing, and it stays as it is.
    """

    steps_done: int
    latents: torch.Tensor
    """float32, as `denoise` has them, on their device"""
    outputs: tuple[torch.Tensor, ...] = ()
    """what a multistep solver keeps of its last steps, oldest first; as many as its order, fewer at the beginning"""
    last_sample: torch.Tensor | None = None
    """the latents that its last step began with, after correction"""
    order: int = 0
    """of its last step"""

    @property
    def bytes(self) -> int:
        return sum(tensor.nbytes for tensor in self._tensors)

    @property
    def _tensors(self) -> tuple[torch.Tensor, ...]:
        return (self.latents, *self.outputs, *(() if self.last_sample is None else (self.last_sample,)))

    @classmethod
    def of(cls, scheduler: Any, steps_done: int, latents: torch.Tensor) -> "SolverState":
        """The state of one of the schedulers of `pipelines.schedulers`."""
        if not _is_multistep(scheduler) or steps_done == 0:
            return cls(steps_done, latents)
        outputs = tuple(output for output in scheduler.model_outputs if output is not None)
        return cls(steps_done, latents, outputs, scheduler.last_sample, scheduler.this_order)

    def restore(self, scheduler: Any, like: torch.Tensor) -> torch.Tensor:
        """Bring a scheduler that is at its first step to this state.

        Args:
            like: latents of the job, of whatever values.

        Returns:
            The latents, on the device of `like`.

        Raises:
            ValueError: it is no state of such a scheduler, or of such latents.
        """
        steps, history = len(scheduler.timesteps), 0
        if not 0 <= self.steps_done <= steps:
            raise ValueError(f"{self.steps_done} of {steps} steps are done")
        if _is_multistep(scheduler):
            history = min(self.steps_done, scheduler.config.solver_order)
        has_last = self.last_sample is not None
        if len(self.outputs) != history or has_last != (history > 0) or not has_last <= self.order <= history:
            raise ValueError("it is of another solver")
        if any(tensor.shape != like.shape or tensor.dtype != like.dtype for tensor in self._tensors):
            raise ValueError("it is of another size")
        if self.last_sample is not None:
            absent = scheduler.config.solver_order - history
            scheduler.model_outputs = [None] * absent + [output.to(like.device) for output in self.outputs]
            used = scheduler.timesteps[self.steps_done - history : self.steps_done]
            scheduler.timestep_list = [None] * absent + list(used)
            scheduler.last_sample = self.last_sample.to(like.device)
            scheduler.this_order = self.order
            scheduler.lower_order_nums = history
        scheduler.set_begin_index(self.steps_done)
        return self.latents.to(like.device)


def _is_multistep(scheduler: Any) -> bool:
    return hasattr(scheduler, "model_outputs")
