"""A model repository, sampled in this process, without Triton."""

import asyncio
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
from protocol.resolve import parse, resolve
from protocol.sampling import AnySpec
from tests.conftest import Exported


class InProcess:
    """One checkpoint of a repository.

    Args:
        loras: the adapters that requests can name.
    """

    def __init__(self, exported: Exported, loras: LoraFolder | None = None) -> None:
        self._loras = loras
        self._runner = InProcessRunner(exported.repository, loras=loras)
        self._folder = exported.repository / "generate" / "1"
        self._model = exported.model
        self.card = self._pipelines().cards[0]

    def params(self, **fields: Any) -> AnySpec:
        return resolve(parse(fields), self.card)

    def frames(self, *jobs: AnySpec) -> list[NDArray[np.float32]]:
        """Make videos or images at the same time; float32 [frames, height, width, 3] each."""
        return asyncio.run(self._make(jobs))

    async def _make(self, jobs: tuple[AnySpec, ...]) -> list[NDArray[np.float32]]:
        pipeline = self._pipelines().get(None)
        admission = Admission(8, 8, lambda running, waiting: None)

        async def report(progress: Progress) -> None:
            pass

        async def make(params: AnySpec) -> NDArray[np.float32]:
            job = Job(pipeline, params, lambda: False, report)
            return np.concatenate([frames.numpy() async for frames in job.run(admission)])

        return await asyncio.gather(*map(make, jobs))

    def _pipelines(self) -> Pipelines:
        evaluate = StepBatcher(self._call, max_rows=16).evaluate
        pipelines = Pipelines(self._folder, self._runner, evaluate, [self._model], self._loras)
        for name in pipelines.exported():
            pipelines.take_in(name, *pipelines.open(name))
        return pipelines

    async def _call(self, model: str, inputs: Inputs) -> torch.Tensor:
        return await self._runner.infer(model, inputs, "sample")
