"""Makes one clip: a job on the engine whose frames are encoded as they arrive."""

import asyncio
import time
from contextlib import aclosing
from dataclasses import dataclass
from fractions import Fraction

from frontend.engine import Engine, Frames
from frontend.errors import EngineFailed
from frontend.job_group import run_together
from frontend.metrics import Metrics
from frontend.video_encoder import VideoEncoder
from protocol.events import Done, Progress
from protocol.sampling import AnySpec


@dataclass(frozen=True)
class Clip:
    """An encoded clip and how it came to be."""

    mp4: bytes
    info: Done
    encode_seconds: float


@dataclass(frozen=True)
class ClipMaker:
    """Runs jobs on `engine`, each for at most `timeout_seconds`."""

    engine: Engine
    metrics: Metrics
    timeout_seconds: float

    async def make_all(self, model: str, clips: tuple[AnySpec, ...], fps: Fraction, request_id: str) -> list[Clip]:
        """Make the clips at the same time. When one fails, the others are cancelled and its error is raised."""
        return await run_together(lambda params, job_id: self.make(model, params, fps, job_id), clips, request_id)

    async def make(self, model: str, params: AnySpec, fps: Fraction, request_id: str) -> Clip:
        """Make one clip. Cancelling it stops the job in Triton.

        Raises:
            PipelineError, EngineUnavailable, EngineFailed: see `Engine.generate`.
        """
        encoder = VideoEncoder(params.width, params.height, fps)
        encode_seconds = 0.0
        with self.metrics.jobs_in_flight.track_inprogress():
            events = self.engine.generate(model, params, request_id=request_id, timeout_seconds=self.timeout_seconds)
            async with aclosing(events):
                async for event in events:
                    match event:
                        case Frames(pixels):
                            started = time.monotonic()
                            # In a thread: the next frames are received, and decoded, meanwhile.
                            await asyncio.to_thread(encoder.add, pixels)
                            encode_seconds += time.monotonic() - started
                        case Progress():
                            pass
                        case done:
                            info = done
        if encoder.num_frames != params.num_frames:
            raise EngineFailed(f"{encoder.num_frames} of {params.num_frames} frames arrived")
        started = time.monotonic()
        mp4 = await asyncio.to_thread(encoder.finish)
        encode_seconds += time.monotonic() - started
        self.metrics.clip_made(encoder.num_frames, encode_seconds)
        return Clip(mp4, info, encode_seconds)
