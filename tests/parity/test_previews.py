"""Looking at the estimate of every step changes no bit of what any family makes."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.ensemble.admission import Admission
from pipelines.ensemble.in_process import InProcess
from pipelines.ensemble.job import Job
from pipelines.preview import draw_preview
from protocol.events import Progress
from protocol.sampling import AnySpec
from runtime.latent_colours import LatentColours
from tests.conftest import ONE_OF_EACH_FAMILY, Exported

from .compared import random_image

STEPS = 3


def make(in_process: InProcess, params: AnySpec, look: Callable[[torch.Tensor], object] | None) -> np.ndarray[Any, Any]:
    async def report(progress: Progress) -> None:
        pass

    def preview(step: int, estimate: Callable[[], torch.Tensor]) -> None:
        if look is not None:
            look(estimate())

    async def run() -> np.ndarray[Any, Any]:
        pipeline = in_process._pipelines().get(in_process.card.id)
        job = Job(pipeline, params, lambda: False, report, preview=preview)
        return np.concatenate(
            [frames.numpy() async for frames in job.run(Admission(1, 1, lambda running, waiting: None))]
        )

    return asyncio.run(run())


@pytest.mark.parametrize("layout", ONE_OF_EACH_FAMILY)
def test_previews_change_nothing(layout: str, tiny: Callable[[str], Exported]) -> None:
    exported = tiny(layout)
    in_process = InProcess(exported.repository, exported.model)
    card = in_process.card
    colours = LatentColours.read(exported.repository / card.components.vae / "1")
    fields: dict[str, Any] = {"prompt": "a red circle", "seed": 7, "num_inference_steps": STEPS}
    if card.takes_image:
        fields["image"] = random_image(card.defaults.width, card.defaults.height)
    params = in_process.params(**fields)
    shown: list[torch.Tensor] = []
    looked_at = make(in_process, params, shown.append)
    np.testing.assert_array_equal(looked_at, make(in_process, params, None))
    assert len(shown) == STEPS
    stride = card.latents.spatial_stride
    sizes = {draw_preview(estimate, colours).shape for estimate in shown}
    assert sizes == {(params.height // stride, params.width // stride, 3)}
