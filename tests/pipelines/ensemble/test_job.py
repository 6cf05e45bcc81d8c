"""A job's phases, progress, cancellation and deadline, with a pipeline that only counts."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest
import torch

from pipelines.conditions import TextConditions
from pipelines.denoise import AfterStep
from pipelines.ensemble.admission import Admission
from pipelines.ensemble.job import WATCH_SECONDS, Job
from pipelines.solver_state import SolverState
from protocol.errors import Cancelled, DeadlineExceeded, ModelFailed
from protocol.events import Progress
from protocol.resolve import parse, resolve
from protocol.sampling import WanSpec
from tests.protocol.test_sampling import TWO_EXPERTS


class CountingPipeline:
    """Takes a millisecond per step, and remembers how far it got."""

    card = TWO_EXPERTS

    def __init__(self, step_seconds: float = 0.001) -> None:
        self.step_seconds = step_seconds
        self.steps = 0
        self.closed = False

    async def encode_text(self, params: WanSpec) -> TextConditions:
        return TextConditions(torch.zeros(1, 1, 1), None)

    async def encode_image(self, params: WanSpec) -> torch.Tensor | None:
        return None

    async def sample(
        self,
        params: WanSpec,
        text: TextConditions,
        image: torch.Tensor | None,
        after_step: AfterStep,
        resume: SolverState | None = None,
    ) -> torch.Tensor:
        done = 0 if resume is None else resume.steps_done
        await after_step(SolverState(done, torch.zeros(1)), None)
        for step in range(done + 1, params.num_inference_steps + 1):
            await asyncio.sleep(self.step_seconds)
            self.steps = step
            await after_step(SolverState(step, torch.zeros(1)), lambda: torch.zeros(1))
        return torch.zeros(1)

    async def decode(self, latents: torch.Tensor) -> AsyncGenerator[torch.Tensor]:
        try:
            for count in (1, 4, 4):
                yield torch.zeros(count, 1, 1, 3)
        finally:
            self.closed = True


def job(pipeline: CountingPipeline, **options: Any) -> tuple[Job, list[tuple[int, int]]]:
    """A job of 12 steps and 9 frames, and what it reports."""
    reports: list[tuple[int, int]] = []

    async def report(progress: Progress) -> None:
        reports.append((progress.steps_done, progress.frames_done))

    params = resolve(parse({"prompt": "a cat", "num_inference_steps": 12}), TWO_EXPERTS)
    return Job(pipeline, params, options.pop("is_cancelled", lambda: False), report, **options), reports


def admission(changed: Callable[[int, int], None] = lambda running, waiting: None) -> Admission:
    return Admission(1, 1, changed)


async def test_a_job_reports_each_step_and_counts_each_frame() -> None:
    made, reports = job(CountingPipeline())

    counted = [(len(frames), made.progress.frames_done) async for frames in made.run(admission())]

    assert reports == [(step, 0) for step in range(13)]
    assert counted == [(1, 1), (4, 5), (4, 9)]
    assert made.progress.is_complete


async def test_a_job_that_goes_on_is_never_less_far_than_where_it_was() -> None:
    saved: list[int] = []
    resume = SolverState(7, torch.zeros(1))
    made, reports = job(CountingPipeline(), resume=resume, save=lambda state: saved.append(state.steps_done))
    assert made.progress.steps_done == 7

    async for _ in made.run(admission()):
        pass

    assert reports == [(step, 0) for step in range(7, 13)]
    assert saved == list(range(7, 13))


async def test_timings_name_every_phase() -> None:
    made, _ = job(CountingPipeline())
    async for _ in made.run(admission()):
        pass
    phases = ["queue", "text", "image", "denoise", "decode"]
    assert sorted(made.timings) == sorted(f"{phase}_seconds" for phase in [*phases, "total"])
    assert made.timings["denoise_seconds"] >= 0.012
    assert sum(made.timings[f"{phase}_seconds"] for phase in phases) <= made.timings["total_seconds"] + 1e-3


async def test_cancelling_stops_before_the_next_step() -> None:
    pipeline = CountingPipeline()
    made, _ = job(pipeline, is_cancelled=lambda: pipeline.steps == 3)

    with pytest.raises(Cancelled, match="3 of 12 steps"):
        await anext(made.run(admission()))

    assert pipeline.steps == 3


async def test_cancelling_while_decoding_closes_the_decoder() -> None:
    pipeline = CountingPipeline()
    made: Job
    made, _ = job(pipeline, is_cancelled=lambda: made.progress.frames_done == 5)

    with pytest.raises(Cancelled):
        async for _ in made.run(admission()):
            pass

    assert pipeline.closed


async def test_the_deadline_ends_a_job_that_runs() -> None:
    pipeline = CountingPipeline(step_seconds=0.02)
    made, _ = job(pipeline, timeout_seconds=0.05)

    with pytest.raises(DeadlineExceeded, match=r"not done within 0\.05 seconds"):
        await anext(made.run(admission()))

    assert pipeline.steps < 12


async def test_the_deadline_ends_a_job_that_waits_and_frees_nothing_it_did_not_have() -> None:
    counts: list[tuple[int, int]] = []
    places = admission(lambda *now: counts.append(now))
    first, _ = job(CountingPipeline(step_seconds=0.05))
    running = asyncio.create_task(anext(first.run(places)))
    await asyncio.sleep(0.01)
    second, _ = job(CountingPipeline(), timeout_seconds=0.1)

    with pytest.raises(DeadlineExceeded):
        await anext(second.run(places))

    assert counts[-1] == (1, 0)
    await running


class StuckPipeline(CountingPipeline):
    """Stays in one phase until it is cancelled, and a little longer: a call under way runs to its end."""

    def __init__(self, phase: str) -> None:
        super().__init__()
        self.phase = phase
        self.stuck = asyncio.Event()
        self.may_end = asyncio.Event()
        self.ended = False

    async def _pass(self, phase: str) -> None:
        if phase == self.phase:
            self.stuck.set()
            try:
                await asyncio.Event().wait()
            finally:
                await self.may_end.wait()
                self.ended = True

    async def encode_text(self, params: WanSpec) -> TextConditions:
        await self._pass("text")
        return await super().encode_text(params)

    async def encode_image(self, params: WanSpec) -> torch.Tensor | None:
        await self._pass("image")
        return None

    async def sample(self, *arguments: Any) -> torch.Tensor:
        await self._pass("denoise")
        return await super().sample(*arguments)

    async def decode(self, latents: torch.Tensor) -> AsyncGenerator[torch.Tensor]:
        yield torch.zeros(1, 1, 1, 3)
        await self._pass("decode")


@pytest.mark.parametrize("phase", ["text", "image", "denoise", "decode"])
async def test_a_job_that_is_stuck_hears_of_its_cancellation_and_gives_its_place_back_with_its_last_call(
    phase: str,
) -> None:
    pipeline = StuckPipeline(phase)
    made, _ = job(pipeline, is_cancelled=pipeline.stuck.is_set)
    places: list[tuple[int, int]] = []

    async def run() -> None:
        async for _ in made.run(admission(lambda *now: places.append(now))):
            pass

    running = asyncio.create_task(run())
    await pipeline.stuck.wait()
    await asyncio.sleep(2 * WATCH_SECONDS)
    assert not running.done()
    assert places[-1] == (1, 0)

    pipeline.may_end.set()
    with pytest.raises(Cancelled):
        await running
    assert pipeline.ended
    assert places[-1] == (0, 0)


async def test_the_deadline_ends_a_job_that_waits_for_a_model() -> None:
    pipeline = StuckPipeline("text")
    pipeline.may_end.set()
    made, _ = job(pipeline, timeout_seconds=0.05)
    with pytest.raises(DeadlineExceeded):
        await anext(made.run(admission()))
    assert pipeline.ended


@pytest.mark.parametrize("counts", [(), (1, 4), (1, 4, 4, 4)])
async def test_a_decoder_that_makes_too_few_or_too_many_frames_fails_the_job(counts: tuple[int, ...]) -> None:
    class Miscounting(CountingPipeline):
        async def decode(self, latents: torch.Tensor) -> AsyncGenerator[torch.Tensor]:
            for count in counts:
                yield torch.zeros(count, 1, 1, 3)

    made, _ = job(Miscounting())
    with pytest.raises(ModelFailed, match=f"{sum(counts)} of 9 frames"):
        async for _ in made.run(admission()):
            pass
