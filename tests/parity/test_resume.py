"""A video or image of every family that goes on from a checkpoint is the same, bit by bit."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.checkpoint import read_checkpoint, write_checkpoint
from pipelines.ensemble.admission import Admission
from pipelines.ensemble.in_process import InProcess
from pipelines.ensemble.job import Job
from pipelines.lora.folder import LoraFolder
from pipelines.lora.targets import read_targets
from pipelines.solver_state import SolverState
from protocol.events import Progress
from protocol.sampling import AnySpec
from tests.adapters import random_matrices, save_diffusers
from tests.conftest import ONE_OF_EACH_FAMILY, Exported

from .compared import random_image

STEPS = 6
REQUEST = {"prompt": "a red circle moving right", "seed": 7, "num_inference_steps": STEPS}


class Resumable:
    """Makes videos and images, and counts the evaluations of their transformers by model."""

    def __init__(self, exported: Exported, loras: LoraFolder | None = None) -> None:
        self.in_process = InProcess(exported.repository, exported.model, loras)
        self.evaluated: list[str] = []
        self.call = self.in_process._call
        self.in_process._call = self._counted  # type: ignore[method-assign]

    async def _counted(self, model: str, inputs: Any) -> torch.Tensor:
        self.evaluated.append(model)
        return await self.call(model, inputs)

    def make(self, params: AnySpec, resume: SolverState | None = None) -> tuple[np.ndarray[Any, Any], list[bytes]]:
        """The frames, and a checkpoint before each step that is taken and after the last."""
        saved: list[bytes] = []
        self.evaluated.clear()

        async def report(progress: Progress) -> None:
            pass

        async def run() -> np.ndarray[Any, Any]:
            pipeline = self.in_process._pipelines().get(self.in_process.card.id)
            job = Job(
                pipeline,
                params,
                lambda: False,
                report,
                resume=resume,
                save=lambda state: saved.append(write_checkpoint(state, "")),
            )
            admission = Admission(1, 1, lambda running, waiting: None)
            return np.concatenate([frames.numpy() async for frames in job.run(admission)])

        return asyncio.run(run()), saved

    def assert_same_from_each_step(self, **fields: Any) -> None:
        params = self.in_process.params(**{**REQUEST, **fields})
        whole, saved = self.make(params)
        evaluated = list(self.evaluated)
        assert (len(saved), len(evaluated)) == (STEPS + 1, STEPS)
        for step in range(1, STEPS + 1):
            rest, _ = self.make(params, read_checkpoint(saved[step], ""))
            assert self.evaluated == evaluated[step:]
            np.testing.assert_array_equal(rest, whole)


@pytest.mark.parametrize("solver", ["unipc", "euler"])
@pytest.mark.parametrize("layout", ONE_OF_EACH_FAMILY)
def test_every_family_and_solver(layout: str, solver: str, tiny: Callable[[str], Exported]) -> None:
    resumable = Resumable(tiny(layout))
    card = resumable.in_process.card
    if solver not in card.solvers:
        pytest.skip(f"{card.id} is not sampled with {solver}")
    fields: dict[str, Any] = {"solver": solver}
    if card.takes_image:
        fields["image"] = random_image(card.defaults.width, card.defaults.height)
    resumable.assert_same_from_each_step(**fields)


def test_across_the_boundary_of_two_experts_and_with_adapters(tiny: Callable[[str], Exported], tmp_path: Path) -> None:
    exported = tiny("two-experts")
    resumable = Resumable(exported, LoraFolder(tmp_path))
    checkpoint = exported.repository / "generate" / "1" / resumable.in_process.card.family
    targets = read_targets(checkpoint)
    save_diffusers(tmp_path / "strong.safetensors", random_matrices(targets["transformer"].layers, 4, seed=1))
    resumable.assert_same_from_each_step(lora={"name": "strong", "scale": 0.7}, boundary_ratio=0.8, flow_shift=3.0)
    assert len(set(resumable.evaluated)) <= 1
    resumable.make(resumable.in_process.params(**REQUEST, boundary_ratio=0.8, flow_shift=3.0))
    assert len(set(resumable.evaluated)) == 2
