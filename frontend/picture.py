"""Makes one picture: a job on the engine whose only frame is encoded as a file."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frontend.engine import Engine, Frames
from frontend.errors import EngineFailed
from frontend.image_encoder import ImageEncoder
from frontend.job_group import run_together
from frontend.metrics import Metrics
from protocol.events import Done
from protocol.sampling import AnySpec


@dataclass(frozen=True)
class Picture:
    """An encoded picture and how it came to be."""

    file: bytes
    info: Done
    encode_seconds: float


@dataclass(frozen=True)
class PictureMaker:
    """Runs jobs on `engine`, each for at most `timeout_seconds`."""

    engine: Engine
    metrics: Metrics
    timeout_seconds: float

    async def make_all(
        self, model: str, pictures: tuple[AnySpec, ...], encoder: ImageEncoder, request_id: str
    ) -> list[Picture]:
        """Make the pictures at the same time. When one fails, the others are cancelled and its error is raised."""
        return await run_together(
            lambda params, job_id: self.make(model, params, encoder, job_id), pictures, request_id
        )

    async def make(self, model: str, params: AnySpec, encoder: ImageEncoder, request_id: str) -> Picture:
        """Make one picture. Cancelling it stops the job in Triton.

        Raises:
            PipelineError, EngineUnavailable, EngineFailed: see `Engine.generate`.
        """
        with self.metrics.jobs_in_flight.track_inprogress():
            pixels, info = await self._run(model, params, request_id)
        started = time.monotonic()
        file = await asyncio.to_thread(encoder.encode, pixels)
        self.metrics.picture_made()
        return Picture(file, info, time.monotonic() - started)

    async def _run(self, model: str, params: AnySpec, request_id: str) -> tuple[NDArray[np.uint8], Done]:
        """The picture, uint8 [height, width, RGB], and the job's report."""
        frames = []
        events = self.engine.generate(model, params, request_id=request_id, timeout_seconds=self.timeout_seconds)
        async with aclosing(events):
            async for event in events:
                match event:
                    case Frames(pixels):
                        frames.append(pixels)
                    case Done() as report:
                        info = report
        shapes = [pixels.shape for pixels in frames]
        if shapes != [(1, params.height, params.width, 3)]:
            raise EngineFailed(f"a picture of {params.width}x{params.height} arrived as frames of {shapes}")
        return frames[0][0], info
