"""The Triton model `generate` in this process: all of it is real but Triton's module and the models it runs on."""

import json
import sys
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from pipelines.conditions import TextConditions
from pipelines.denoise import AfterStep
from pipelines.families import FAMILIES
from pipelines.solver_state import SolverState
from protocol.sampling import SPECS, WanSpec
from runtime.latent_colours import LatentColours
from tests.model_cards import model_card
from tests.runtime.test_bands import PLAN

from . import backend_utils
from .backend_utils import InferenceRequest, Tensor

if TYPE_CHECKING:
    from pipelines.ensemble.model import TritonPythonModel

COLOURS = LatentColours(weights=((0.01, 0.02, 0.03),) * 16, bias=(0.1, 0.1, 0.1))
"""grey that turns blue"""
MODULE = "triton_python_backend_utils"
PARAMETERS = {
    "max_running_jobs": 1,
    "max_waiting_jobs": 1,
    "max_step_batch": 4,
    "max_step_elements": 1000,
    "memory_mib": 1000,
    "condition_cache_mib": 1,
    "max_checkpoint_mib": 1,
}


def request(
    task: str | None = None, before: Callable[[int, int], None] | None = None, **fields: Any
) -> InferenceRequest:
    """A request to generate; without a `task`, one for a video.

    Args:
        before: see `backend_utils.Sender`.
    """
    fields = {"prompt": "a cat", **fields} if task is None else {"task": task, **fields}
    inputs = [
        Tensor(name, np.array([value.encode()], np.object_) if isinstance(value, str) else np.array([value]))
        for name, value in fields.items()
    ]
    return InferenceRequest(inputs, "the-request", before)


class Scripted:
    """A family that makes black videos in three steps; a test may hook into its phases.

    Args:
        hooks: by phase, `text`, `image`, `step` or `decode`: awaited when that begins.
    """

    card = model_card("scripted", family="scripted")

    def __init__(self) -> None:
        self.hooks: dict[str, Callable[[], Awaitable[None]]] = {}

    async def _begin(self, phase: str) -> None:
        if phase in self.hooks:
            await self.hooks[phase]()

    async def encode_text(self, params: Any) -> TextConditions:
        await self._begin("text")
        return TextConditions(torch.zeros(1, 1, 1), None)

    async def encode_image(self, params: Any) -> torch.Tensor | None:
        await self._begin("image")
        return None

    async def sample(
        self,
        params: Any,
        text: Any,
        image: Any,
        after_step: AfterStep,
        resume: SolverState | None = None,
    ) -> torch.Tensor:
        done = 0 if resume is None else resume.steps_done
        for step in range(done + 1, 4):
            await self._begin("step")
            estimate = torch.full((1, 16, 3, 4, 6), float(step))
            await after_step(SolverState(step, torch.full((1,), float(step))), lambda: estimate)  # noqa: B023
        return torch.zeros(1)

    async def decode(self, latents: torch.Tensor) -> AsyncGenerator[torch.Tensor]:
        for count in (1, 4, 4):
            await self._begin("decode")
            yield torch.zeros(count, 1, 1, 3)


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Triton's module can be imported, and what is imported of the ensemble uses the double."""
    monkeypatch.setitem(sys.modules, MODULE, backend_utils)
    backend_utils.MetricFamily.made.clear()


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """The only family that there is."""
    family = Scripted()
    monkeypatch.setitem(FAMILIES, "scripted", lambda *parts: family)
    monkeypatch.setitem(SPECS, "scripted", WanSpec)
    return family


@pytest.fixture
def generate(
    backend: None, scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator["TritonPythonModel"]:
    """The model, with one checkpoint of the scripted family; one job runs and one more may wait."""
    from pipelines.ensemble.model import TritonPythonModel

    monkeypatch.delenv("TRITONREEL_MODELS", raising=False)
    checkpoint = tmp_path / "generate" / "1" / "scripted"
    checkpoint.mkdir(parents=True)
    Scripted.card.write(checkpoint)
    vae = tmp_path / Scripted.card.components.vae / "1"
    vae.mkdir(parents=True)
    PLAN.write(vae)
    COLOURS.write(vae)
    parameters = {name: {"string_value": str(value)} for name, value in PARAMETERS.items()}
    threads = torch.get_num_threads()
    model = TritonPythonModel()
    model.initialize(
        {
            "model_config": json.dumps({"parameters": parameters}),
            "model_repository": str(tmp_path / "generate"),
            "model_name": "generate",
            "model_version": "1",
        }
    )
    (loop_thread,) = (thread for thread in threading.enumerate() if thread.name == "jobs")
    yield model
    if loop_thread.is_alive():
        model.finalize()
        loop_thread.join(30)
    torch.set_num_threads(threads)
