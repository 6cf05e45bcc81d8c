"""From finished clips to what the responses say about them."""

import asyncio
import base64

from frontend.clip import Clip
from frontend.schemas.timings import Timings
from frontend.schemas.video_report import VideoData, VideoReport
from frontend.video_plan import VideoPlan
from protocol.sampling import VideoSampling


async def data_of(clips: list[Clip]) -> list[VideoData]:
    """The clips as JSON has them."""
    return [
        VideoData(
            b64_json=(await asyncio.to_thread(base64.b64encode, clip.mp4)).decode(),
            seed=clip.info.spec.seed,
            timings=Timings.of_job(clip.info.timings, clip.encode_seconds),
        )
        for clip in clips
    ]


def report_of(plan: VideoPlan, clips: list[Clip], data: list[VideoData], seconds: float) -> VideoReport:
    """What was made, in `seconds` from the request's arrival."""
    made = clips[0].info.spec
    return VideoReport(
        model=plan.model,
        size=f"{made.width}x{made.height}",
        num_frames=made.num_frames,
        fps=float(plan.fps),
        params=VideoSampling.model_validate(made, from_attributes=True),
        timings=Timings.of_request([clip.timings for clip in data], seconds),
        warnings=list(plan.warnings),
    )
