"""A model repository, sampled in this process, without Triton: for tests and debugging."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.ensemble.admission import Admission
from pipelines.ensemble.job import Job
from pipelines.families import Pipelines
from pipelines.in_process import InProcessRunner
from pipelines.lora.folder import LoraFolder
from pipelines.runner import Inputs
from pipelines.step_batcher import StepBatcher
from protocol.events import Progress
from protocol.placement import AUTO, parse_device
from protocol.resolve import parse, resolve
from protocol.sampling import AnySpec
from runtime.placement import sampling_device


class InProcess:
    """One checkpoint of a repository.

    Args:
        model: its served id; None for the first that there is.
        loras: the adapters that requests can name.
        device: where models run and latents are; see `protocol.placement.parse_device`.
    """

    def __init__(
        self, repository: Path, model: str | None = None, loras: LoraFolder | None = None, device: str = AUTO
    ) -> None:
        self._loras = loras
        self._device = torch.device(str(sampling_device(parse_device(device))))
        self._runner = InProcessRunner(repository, loras=loras, device=device)
        self._folder = repository / "generate" / "1"
        self._chosen = [] if model is None else [model]
        self.card = self._pipelines().cards[0]

    def params(self, **fields: Any) -> AnySpec:
        return resolve(parse(fields), self.card)

    def frames(self, *jobs: AnySpec) -> list[NDArray[np.float32]]:
        """Make videos or images at the same time; float32 [frames, height, width, 3] each, 0..1."""
        return asyncio.run(self._make(jobs))

    async def _make(self, jobs: tuple[AnySpec, ...]) -> list[NDArray[np.float32]]:
        pipeline = self._pipelines().get(self.card.id)
        admission = Admission(8, 8, lambda running, waiting: None)

        async def report(progress: Progress) -> None:
            pass

        async def make(params: AnySpec) -> NDArray[np.float32]:
            job = Job(pipeline, params, lambda: False, report)
            return np.concatenate([frames.numpy() async for frames in job.run(admission)])

        return await asyncio.gather(*map(make, jobs))

    def _pipelines(self) -> Pipelines:
        evaluate = StepBatcher(self._call, max_rows=16).evaluate
        pipelines = Pipelines(self._folder, self._runner, evaluate, self._chosen, self._loras, device=self._device)
        for name in pipelines.exported():
            pipelines.take_in(name, *pipelines.open(name))
        return pipelines

    async def _call(self, model: str, inputs: Inputs) -> torch.Tensor:
        return await self._runner.infer(model, inputs, "sample")
