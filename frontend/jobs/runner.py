"""Makes the videos or images of a job on a generator."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray
from opentelemetry.trace import SpanKind

from frontend.errors import EngineFailed, EngineUnavailable, VideoNotFound
from frontend.generators.generator import Checkpoint, Event, Frames, Generator, Preview
from frontend.jobs.checkpoints import Checkpoints
from frontend.jobs.events import PartEvent, PartPreview
from frontend.jobs.parameters import parameters_of
from frontend.jobs.product import Encoder
from frontend.jobs.record import RunRecord
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import Output
from frontend.media.video_stills import frames_of
from frontend.metrics import Metrics
from frontend.storage.spooled_file import spooled
from frontend.storage.storage import FileName, Storage
from protocol.errors import InvalidRequest, QueueFull
from protocol.events import Done, Progress
from protocol.sampling import AnySpec
from tracing.spans import begin, fail, within

T = TypeVar("T")
Tell = Callable[[PartEvent | PartPreview], Awaitable[None]]
_PAUSE_SECONDS = 0.1
_MAX_PAUSE_SECONDS = 5.0
_log = structlog.get_logger(__name__)


async def all_parts(spec: JobSpec, make: Callable[[int], Coroutine[None, None, T]]) -> list[T]:
    """What `make` makes of each part of a job, all at the same time. When one fails, the others are cancelled."""
    try:
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(make(part)) for part in range(len(spec.samples))]
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None
    return [part.result() for part in parts]


@dataclass(frozen=True)
class JobRunner:
    """Runs jobs on `generator`; each of their parts may take `timeout_seconds`.

    Args:
        storage: of the videos that jobs extend.
    """

    generator: Generator
    metrics: Metrics
    timeout_seconds: float
    checkpoint_seconds: float = 0
    """between two checkpoints of a part; 0 for none"""
    storage: Storage | None = None
    preview_seconds: float = 0
    """between two previews, where `JobSpec.partial_images` does not say how many; 0 for none"""

    async def run(self, spec: JobSpec, tell: Tell, record: RunRecord) -> list[tuple[bytes, Output]]:
        """The file and the report of each part. They are made at the same time, and `tell` hears of it meanwhile.

        Each part goes on from its checkpoint, where there is one.

        When one fails, the others are cancelled and its error is raised. Cancelling this stops all of them.

        Raises:
            PipelineError, EngineUnavailable, EngineFailed: see `Generator.generate`.
            VideoNotFound, StorageError: the video that it extends cannot be read.
        """
        return await all_parts(spec, lambda part: self._make(spec, part, tell, record.checkpoints))

    async def _make(self, spec: JobSpec, part: int, tell: Tell, checkpoints: Checkpoints) -> tuple[bytes, Output]:
        resume = await checkpoints.load(part)
        if resume is not None:
            try:
                return await self._sample(spec, part, tell, checkpoints, resume)
            except (InvalidRequest, EngineFailed) as error:
                if isinstance(error, InvalidRequest) and error.field != "resume":
                    raise
                _log.warning("a job starts anew, not from its checkpoint", job=spec.id, part=part, reason=error.message)
                await checkpoints.discard(part)
        return await self._sample(spec, part, tell, checkpoints)

    async def _sample(
        self, spec: JobSpec, part: int, tell: Tell, checkpoints: Checkpoints, resume: bytes | None = None
    ) -> tuple[bytes, Output]:
        """One video or image, encoded while its later frames are decoded."""
        sampling = spec.sampling_of(part)
        encoder = spec.product.encoder(sampling.width, sampling.height, parameters_of(spec, part))
        encoding = _Encoding(sampling, encoder)
        if spec.extends is not None:
            await self._begin_with(spec.extends, encoding)
        report: Done | None = None
        with self.metrics.jobs_in_flight.track_inprogress(), _span_of(spec, part) as answered:
            async with aclosing(self._events(spec, part, sampling, resume)) as events:
                async for event in events:
                    answered()
                    match event:
                        case Done():
                            report = event
                        case Frames(pixels):
                            await encoding.add(pixels)
                        case Progress():
                            await tell(PartEvent(part, event))
                        case Preview():
                            await tell(PartPreview(part, event))
                        case Checkpoint(content=content):
                            checkpoints.save(part, content)
        if report is None:
            raise EngineFailed("the generator ended without its report")
        file = await encoding.finish()
        self.metrics.made(spec.product.kind, sampling.num_frames, encoding.seconds)
        return file, Output(report=report, encode_seconds=encoding.seconds, bytes=len(file))

    async def _events(
        self, spec: JobSpec, part: int, sampling: AnySpec, resume: bytes | None
    ) -> AsyncGenerator[Event, None]:
        """What the generator says of a part, once it has room for it: the job was admitted, whatever else asks."""
        pause = _PAUSE_SECONDS
        while True:
            events = self.generator.generate(
                spec.model,
                sampling,
                request_id=spec.request_id_of(part),
                timeout_seconds=self.timeout_seconds,
                checkpoint_seconds=self.checkpoint_seconds,
                resume=resume,
                previews=spec.partial_images,
                preview_seconds=0 if spec.partial_images else self.preview_seconds,
            )
            try:
                async with aclosing(events):
                    async for event in events:
                        yield event
                return
            except QueueFull as error:  # before its first event
                _log.warning("a job waits for the engine", job=spec.id, part=part, reason=error.message, seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, _MAX_PAUSE_SECONDS)

    async def _begin_with(self, video_id: str, encoding: "_Encoding") -> None:
        """Put the frames of a finished video before those that are made."""
        assert self.storage is not None
        file = await self.storage.head(FileName(video_id))
        if file is None:
            raise VideoNotFound(f"video {video_id!r}, which is to be extended, has been deleted", "video")
        async with spooled(self.storage, file) as video:
            await encoding.begin_with(frames_of(video))


@contextmanager
def _span_of(spec: JobSpec, part: int) -> Iterator[Callable[[], None]]:
    """The span of what the generator does for a part; to be told when it has answered.

    A try that finds the generator away leaves none: in an outage there can be any number of them.
    """
    span = begin("part", {"job_id": spec.id, "part": part, "model": spec.model}, kind=SpanKind.CLIENT)
    is_worth_it = False

    def answered() -> None:
        nonlocal is_worth_it
        is_worth_it = True

    with within(span):
        try:
            yield answered
        except BaseException as error:
            is_worth_it = is_worth_it or not isinstance(error, EngineUnavailable)
            fail(span, error)
            raise
        finally:
            if is_worth_it:
                span.end()


class _Encoding:
    """Feeds an encoder in a thread, so that the next frames are received, and decoded, meanwhile."""

    def __init__(self, sampling: AnySpec, encoder: Encoder) -> None:
        self.seconds = 0.0
        self._sampling = sampling
        self._encoder = encoder
        self._earlier = 0
        """frames that come before those of the generator"""
        self._skipped = False

    async def begin_with(self, frames: Iterator[NDArray[np.uint8]]) -> None:
        """Take the frames of a video, each uint8 [height, width, RGB]; the first of `add` is its last, and left out."""

        def encode() -> None:
            for frame in frames:
                self._encoder.add(frame[np.newaxis])

        await self._timed(encode)
        self._earlier = self._encoder.num_frames

    async def add(self, pixels: NDArray[np.uint8]) -> None:
        """Raises EngineFailed where the frames are of another size than was asked for."""
        expected = (self._sampling.height, self._sampling.width, 3)
        if pixels.shape[1:] != expected:
            raise EngineFailed(f"frames of {pixels.shape[1:]} arrived, not of {expected}")
        if self._earlier and not self._skipped and len(pixels):
            pixels, self._skipped = pixels[1:], True
        await self._timed(lambda: self._encoder.add(pixels))

    async def finish(self) -> bytes:
        """The file. Raises EngineFailed where frames are missing, or too many."""
        arrived = self._encoder.num_frames - self._earlier + self._skipped
        if arrived != self._sampling.num_frames:
            raise EngineFailed(f"{arrived} of {self._sampling.num_frames} frames arrived")
        return await self._timed(self._encoder.finish)

    async def _timed(self, work: Callable[[], T]) -> T:
        started = time.monotonic()
        result = await asyncio.to_thread(work)
        self.seconds += time.monotonic() - started
        return result
