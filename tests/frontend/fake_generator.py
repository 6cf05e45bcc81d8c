"""A generator in this process, which keeps the `Generator` protocol: it makes grey frames, and records its jobs."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable

import numpy as np

from frontend.generators.endpoint import Endpoint
from frontend.generators.generator import Checkpoint, Event, Frames, Preview
from frontend.generators.pool import Pool
from protocol.events import Done, JobTimings, Progress
from protocol.lora import LoraInfo
from protocol.model_card import ModelCard
from protocol.sampling import AnySpec
from tests.model_cards import image_to_video_card, model_card, text_to_image_card

CHUNK_FRAMES = 4
TIMINGS = JobTimings(queue_seconds=0.1, text_seconds=0.2, denoise_seconds=0.3, decode_seconds=0.4, total_seconds=1.0)


class Gate(threading.Event):
    """Open until it is cleared; any thread can set it."""

    def __init__(self) -> None:
        super().__init__()
        self.set()

    async def passed(self) -> None:
        """Wait for it."""
        while not self.is_set():
            await asyncio.sleep(0.005)


def pool_of(*generators: "FakeGenerator") -> Pool:
    """Servers a, b, ... that these are."""
    return Pool([Endpoint(name, generator) for name, generator in zip("abcdef", generators, strict=False)])


class FakeGenerator:
    """Makes every video at once, unless told otherwise by its public attributes."""

    def __init__(self, cards: list[ModelCard] | None = None) -> None:
        self.cards = [model_card()] if cards is None else cards
        self.adapters: list[LoraInfo] = []
        self.describe_error: Exception | None = None
        self.error_for: Callable[[AnySpec], Exception | None] = lambda params: None
        """what a job fails with after its first step"""
        self.refusal: Exception | None = None
        """what every job fails with before its first event"""
        self.step_gate = Gate()
        """jobs wait for it before their second step"""
        self.previews_gate = Gate()
        """jobs wait for it before their first preview"""
        self.frames_gate = Gate()
        """jobs wait for it before their first frame"""
        self.drop_frames = 0
        self.reports = True
        """whether a job that goes well ends with its report"""
        self.warnings: tuple[str, ...] = ()
        """of its report"""
        self.opened = False
        self.describe_calls = 0
        self.jobs: dict[str, AnySpec] = {}
        """by request id"""
        self.timeouts: list[float] = []
        self.cancelled: list[str] = []
        self.checkpoint: bytes | None = None
        """what a job can go on from after its first step, where checkpoints are asked for"""
        self.resumed: list[bytes | None] = []
        """what each call went on from"""
        self.previews = 0
        """how many there are where only their distance is said"""
        self.resume_error: Exception | None = None
        """what going on from a checkpoint ends with"""

    async def open(self) -> None:
        self.opened = True

    async def close(self) -> None:
        self.opened = False

    async def models(self) -> list[ModelCard]:
        self.describe_calls += 1
        if self.describe_error is not None:
            raise self.describe_error
        return self.cards

    async def loras(self) -> list[LoraInfo]:
        if self.describe_error is not None:
            raise self.describe_error
        return self.adapters

    async def check_ready(self) -> None:
        await self.models()

    async def generate(
        self,
        model: str,
        spec: AnySpec,
        *,
        request_id: str,
        timeout_seconds: float,
        checkpoint_seconds: float = 0,
        resume: bytes | None = None,
        previews: int = 0,
        preview_seconds: float = 0,
    ) -> AsyncGenerator[Event, None]:
        self.jobs[request_id] = params = spec
        if self.refusal is not None:
            raise self.refusal
        self.timeouts.append(timeout_seconds)
        self.resumed.append(resume)
        try:
            if resume is not None and self.resume_error is not None:
                raise self.resume_error
            if checkpoint_seconds and self.checkpoint is not None:
                yield Checkpoint(1, self.checkpoint)
            yield Progress(steps_done=1, steps=params.num_inference_steps, frames_done=0, frames=params.num_frames)
            error = self.error_for(params)
            if error is not None:
                raise error
            await self.step_gate.passed()
            count = previews or (self.previews if preview_seconds else 0)
            if count:
                await self.previews_gate.passed()
            for step in range(1, count + 1):
                yield Preview(np.full((2, 4, 3), 10 * step, np.uint8), step, params.num_inference_steps)
            await self.frames_gate.passed()
            frames = params.num_frames - self.drop_frames
            for first in range(0, frames, CHUNK_FRAMES):
                count = min(CHUNK_FRAMES, frames - first)
                yield Frames(np.full((count, params.height, params.width, 3), first, np.uint8))
            if self.reports:
                yield Done(model=model, spec=params, timings=TIMINGS, warnings=self.warnings)
        except (asyncio.CancelledError, GeneratorExit):
            self.cancelled.append(request_id)
            raise


def of_all_kinds(*adapters: str) -> FakeGenerator:
    """One that makes videos from a text, from an image, and images; with adapters for the first."""
    generator = FakeGenerator([model_card(), image_to_video_card(), text_to_image_card()])
    generator.adapters = [LoraInfo(name=name, rank=16, bytes=4096, models=["toy-wan-t2v"]) for name in adapters]
    return generator
