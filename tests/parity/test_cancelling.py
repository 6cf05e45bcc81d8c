"""A job that is cancelled at step k has its transformer called no later than for step k + 1."""

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from pipelines.ensemble.admission import Admission
from pipelines.ensemble.in_process import InProcess
from pipelines.ensemble.job import WATCH_SECONDS, Job
from protocol.errors import Cancelled
from protocol.events import Progress
from tests.conftest import ONE_OF_EACH_FAMILY, Exported

from .compared import random_image

STEPS = 12


@pytest.mark.parametrize("when", ["after a step", "within the next"])
@pytest.mark.parametrize("layout", ONE_OF_EACH_FAMILY)
def test_no_transformer_call_is_later_than_the_next_step(
    layout: str, when: str, tiny: Callable[[str], Exported]
) -> None:
    in_process = InProcess(tiny(layout).repository, tiny(layout).model)
    fields: dict[str, Any] = {"prompt": "a cat", "seed": 7, "num_inference_steps": STEPS}
    if in_process.card.takes_image:
        fields["image"] = random_image(in_process.card.defaults.width, in_process.card.defaults.height)
    params = in_process.params(**fields)
    (alone,) = in_process.frames(params)
    call, calls, cancelled = in_process._call, [0], [False]

    async def counted(model: str, inputs: Any) -> torch.Tensor:
        calls[0] += 1
        if when == "within the next" and calls[0] == 5:
            cancelled[0] = True
            await asyncio.sleep(3 * WATCH_SECONDS)
        return await call(model, inputs)

    async def report(progress: Progress) -> None:
        cancelled[0] = cancelled[0] or (when == "after a step" and progress.steps_done == 4)

    async def go_on(progress: Progress) -> None:
        pass

    counts: list[tuple[int, int]] = []
    admission = Admission(1, 1, lambda running, waiting: counts.append((running, waiting)))
    in_process._call = counted  # type: ignore[method-assign]

    async def run() -> tuple[Job, np.ndarray[Any, Any]]:
        pipeline = in_process._pipelines().get(in_process.card.id)
        job = Job(pipeline, params, lambda: cancelled[0], report)
        with pytest.raises(Cancelled, match="of 12 steps"):
            await anext(job.run(admission))
        at_end = calls[0]
        cancelled[0], calls[0] = False, 100
        other = Job(pipeline, params, lambda: False, go_on)
        frames = np.concatenate([chunk.numpy() async for chunk in other.run(admission)])
        calls[0] = at_end
        return job, frames

    job, frames = asyncio.run(run())
    assert job.progress.steps_done in (4, 5)
    assert calls[0] <= 5
    assert counts[-1] == (0, 0)
    np.testing.assert_array_equal(frames, alone)
