"""Wan text-to-video in this process equals diffusers' WanPipeline within 1e-4 per pixel, on a 0-1 scale."""

import asyncio
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from pipelines.admission import Admission
from pipelines.families import Pipelines
from pipelines.in_process import InProcessRunner
from pipelines.job import Job, Progress
from pipelines.request import SamplingParams, parse, resolve
from pipelines.runner import Array
from pipelines.step_batcher import StepBatcher

TOLERANCE = 1e-4
LAYOUTS = ["two-experts", "one-expert"]

PROMPT = "a red circle moving right on a black background"
# Each case changes what the default request leaves to the model.
CASES: dict[str, dict[str, Any]] = {
    "defaults": {},
    "wide": {"width": 96, "height": 48},
    "tall and longer": {"width": 48, "height": 80, "num_frames": 17},
    "one frame": {"num_frames": 1, "num_inference_steps": 3},
    "frames rounded down": {"num_frames": 8},
    "one step": {"num_inference_steps": 1},
    "twenty steps": {"num_inference_steps": 20},
    "euler": {"solver": "euler"},
    "euler, shift 8": {"solver": "euler", "flow_shift": 8.0},
    "unipc, shift 12": {"flow_shift": 12.0},
    "strong guidance": {"guidance_scale": 9.0},
    "no guidance": {"guidance_scale": 1.0},
    "negative prompt": {"negative_prompt": "blurry, a blue square"},
    "long prompt": {"prompt": "a green square growing, " * 120},
    "untidy prompt": {"prompt": "  a &amp; b\n\n caf\u00c3\u00a9  "},
}
TWO_EXPERT_CASES: dict[str, dict[str, Any]] = {
    "guidance pair": {"guidance_scale": 5.0, "guidance_scale_2": 2.0},
    "second expert unguided": {"guidance_scale": 5.0, "guidance_scale_2": 1.0},
    "second expert half guided": {"guidance_scale": 5.0, "guidance_scale_2": 0.5},
    "first guidance decides": {"guidance_scale": 1.0, "guidance_scale_2": 5.0},
    "boundary 0.5": {"boundary_ratio": 0.5},
    "boundary 0": {"boundary_ratio": 0.0},
    "boundary 1": {"boundary_ratio": 1.0},
}


class InProcess:
    """A model repository, sampled without Triton."""

    def __init__(self, repository: Path) -> None:
        self._runner = InProcessRunner(repository)
        self._folder = repository / "generate" / "1"
        self.card = Pipelines(self._folder, self._runner, self._evaluate).cards[0]

    async def _evaluate(self, model: str, inputs: Any) -> Array:
        return await self._runner.infer(model, inputs, "sample")

    def params(self, **fields: Any) -> SamplingParams:
        return resolve(parse({"prompt": PROMPT, "seed": 7, **fields}), self.card)

    def frames(self, *jobs: SamplingParams) -> list[NDArray[np.float32]]:
        """Make clips at the same time; float32 [frames, height, width, 3] each."""
        return asyncio.run(self._make(jobs))

    async def _make(self, jobs: tuple[SamplingParams, ...]) -> list[NDArray[np.float32]]:
        batcher = StepBatcher(self._evaluate, max_rows=16)
        pipeline = Pipelines(self._folder, self._runner, batcher.evaluate).get(None)
        admission = Admission(8, 8, lambda running, waiting: None)

        async def report(progress: Progress) -> None:
            pass

        async def make(params: SamplingParams) -> NDArray[np.float32]:
            job = Job(pipeline, params, lambda: False, report)
            return np.concatenate([frames async for frames in job.run(admission)])

        return await asyncio.gather(*map(make, jobs))


class Compared:
    """A checkpoint in both implementations."""

    def __init__(self, exported: Any, reference: Any) -> None:
        self.in_process = InProcess(exported.repository)
        self._reference = reference

    def assert_equal(self, *requests: dict[str, Any]) -> None:
        """Make clips at the same time, and compare each with diffusers'."""
        jobs = [self.in_process.params(**request) for request in requests]
        for params, made in zip(jobs, self.in_process.frames(*jobs), strict=True):
            expected = self._reference.frames(params, self.in_process.card.max_sequence_length)
            assert made.shape == expected.shape
            assert float(np.abs(made - expected).max()) <= TOLERANCE
            assert float(expected.std()) > 0.01, "the reference shows nothing, so the comparison says nothing"


@pytest.fixture(scope="module")
def compared(tiny: Callable[[str], Any], reference: Callable[[Path], Any]) -> Callable[[str], Compared]:
    """By layout."""

    @cache
    def compare(layout: str) -> Compared:
        exported = tiny(layout)
        return Compared(exported, reference(exported.checkpoint))

    return compare


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("case", CASES)
def test_equals_diffusers(case: str, layout: str, compared: Callable[[str], Compared]) -> None:
    compared(layout).assert_equal(CASES[case])


@pytest.mark.parametrize("case", TWO_EXPERT_CASES)
def test_two_experts_equal_diffusers(case: str, compared: Callable[[str], Compared]) -> None:
    compared("two-experts").assert_equal(TWO_EXPERT_CASES[case])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_jobs_that_share_batches_equal_diffusers(layout: str, compared: Callable[[str], Compared]) -> None:
    compared(layout).assert_equal(
        {"seed": 1}, {"seed": 2, "num_inference_steps": 9}, {"seed": 3, "guidance_scale": 1.0}, {"seed": 4, "width": 80}
    )


def test_the_trained_toy_equals_diffusers(toy: Any, reference: Callable[[Path], Any]) -> None:
    Compared(toy, reference(toy.checkpoint)).assert_equal({}, {"negative_prompt": "red", "width": 96})


def test_the_seed_decides(compared: Callable[[str], Compared]) -> None:
    in_process = compared("one-expert").in_process
    first, again, other = (
        in_process.frames(in_process.params(seed=seed, num_inference_steps=2))[0] for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 0.01
