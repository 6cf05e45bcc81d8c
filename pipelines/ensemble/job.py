"""One video or image from request to frames: admission, text, image, sampling, decoding.

With progress, deadline and cancellation.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, aclosing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from pipelines.ensemble.admission import Admission
from pipelines.ensemble.memory import MemoryNeed
from protocol.errors import Cancelled, DeadlineExceeded, ModelFailed
from protocol.events import Progress
from protocol.sampling import Spec
from tracing.spans import Attributes, begin, fail, happened, span

if TYPE_CHECKING:
    import torch

    from pipelines.denoise import Estimate
    from pipelines.families import Pipeline
    from pipelines.solver_state import SolverState

WATCH_SECONDS = 0.2
"""how often a job that waits, for its turn or for a model, looks whether it should go on"""

T = TypeVar("T")


@dataclass
class Job:
    """A video being made.

    Args:
        is_cancelled: asks whether the client has gone away.
        report: told after admission and after every step.
        timeout_seconds: the job ends with DeadlineExceeded after so long, waiting included.
        need: memory that it is admitted with.
        resume: the step to go on from; its frames are as if it had never stopped.
        save: offered the state of sampling after every step.
        preview: offered, after every step that is taken, its number, from 1, and what computes its estimate.
    """

    pipeline: "Pipeline[Any]"
    params: Spec
    is_cancelled: Callable[[], bool]
    report: Callable[[Progress], Awaitable[None]]
    timeout_seconds: float | None = None
    need: MemoryNeed = field(default_factory=MemoryNeed)
    resume: "SolverState | None" = None
    save: "Callable[[SolverState], None]" = lambda state: None
    preview: "Callable[[int, Estimate], None]" = lambda step, estimate: None
    progress: Progress = field(init=False)
    timings: dict[str, float] = field(init=False, default_factory=dict)
    """`queue_seconds`, `text_seconds`, `image_seconds`, `denoise_seconds`, `decode_seconds`, `total_seconds`, each once
    it is known"""
    warnings: tuple[str, ...] = field(init=False, default=())
    """what of the request is not done as written, once the text is encoded"""

    def __post_init__(self) -> None:
        self.progress = Progress(
            steps_done=0 if self.resume is None else self.resume.steps_done,
            steps=self.params.num_inference_steps,
            frames_done=0,
            frames=self.params.num_frames,
        )
        self._started = time.monotonic()

    async def run(self, admission: Admission) -> "AsyncGenerator[torch.Tensor]":
        """Make the video.

        Yields:
            float32 [n, height, width, 3] in 0..1, in display order; `progress` counts them already.

        Raises:
            PipelineError: why the job ended early.
        """
        async with AsyncExitStack() as stack:
            with span("queue"):
                await stack.enter_async_context(admission.place(self._watch, self.need, self._moved))
            self.timings["queue_seconds"] = self._elapsed()
            self.check()
            with self._timed("text"):
                text = await self._watched(self.pipeline.encode_text(self.params))
            self.warnings = text.warnings
            self.check()
            with self._timed("image"):
                image = await self._watched(self.pipeline.encode_image(self.params))
            with self._timed("denoise", {"steps": self.progress.steps, "first_step": self.progress.steps_done}):
                latents = await self._watched(
                    self.pipeline.sample(self.params, text, image, self._after_step, self.resume)
                )
            decode_started = self._elapsed()
            stack.enter_context(_span_of_decoding(self.params.num_frames))
            async with aclosing(self.pipeline.decode(latents)) as chunks:
                while (frames := await self._watched(_next(chunks))) is not None:
                    self.check()
                    self._advance(frames_done=self.progress.frames_done + len(frames))
                    self.timings["total_seconds"] = self._elapsed()
                    self.timings["decode_seconds"] = self.timings["total_seconds"] - decode_started
                    yield frames
        if not self.progress.is_complete:
            raise ModelFailed(f"{self.progress.frames_done} of {self.progress.frames} frames were decoded")

    def check(self) -> None:
        """Raise when the job should go no further."""
        if self.is_cancelled():
            raise Cancelled(f"cancelled after {self.progress.steps_done} of {self.progress.steps} steps")
        if self.timeout_seconds is not None and self._elapsed() > self.timeout_seconds:
            raise DeadlineExceeded(
                f"not done within {self.timeout_seconds:g} seconds "
                f"({self.progress.steps_done} of {self.progress.steps} steps)"
            )

    async def _after_step(self, state: "SolverState", estimate: "Estimate | None") -> None:
        self._advance(steps_done=state.steps_done)
        happened("step", {"steps_done": state.steps_done})
        self.check()
        await self.report(self.progress)
        self.save(state)
        if estimate is not None:
            self.preview(state.steps_done, estimate)

    def _moved(self, position: int | None) -> None:
        self._advance(queue_position=position)

    def _advance(self, **counts: int | None) -> None:
        self.progress = self.progress.model_copy(update=counts)

    async def _watched(self, work: Coroutine[Any, Any, T]) -> T:
        """The result of `work`, unless the job should go no further before: then `work` is cancelled, and has ended
        when this raises, so that a job holds its place while anything computes for it."""
        working = asyncio.create_task(work)
        watch = asyncio.create_task(self._watch())
        try:
            await asyncio.wait({working, watch}, return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else watch.result()
        finally:
            working.cancel()
            watch.cancel()
            await asyncio.gather(working, watch, return_exceptions=True)

    async def _watch(self) -> NoReturn:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            self.check()

    @contextmanager
    def _timed(self, phase: str, attributes: Attributes | None = None) -> Iterator[None]:
        started = self._elapsed()
        with span(phase, attributes):
            yield
        self.timings[f"{phase}_seconds"] = self._elapsed() - started

    def _elapsed(self) -> float:
        return time.monotonic() - self._started


@contextmanager
def _span_of_decoding(frames: int) -> Iterator[None]:
    """Not the current span meanwhile: its block yields to whoever takes the frames."""
    made = begin("decode", {"frames": frames})
    try:
        yield
    except BaseException as error:
        fail(made, error)
        raise
    finally:
        made.end()


async def _next(chunks: "AsyncGenerator[torch.Tensor]") -> "torch.Tensor | None":
    """The next frames; None after the last."""
    return await anext(chunks, None)
