"""`POST /v1/videos/generations`."""

import asyncio
import base64
import time
from typing import Any

from fastapi import APIRouter, Depends, Request

from frontend.clip import Clip
from frontend.content_type import require_json
from frontend.disconnect import until_disconnected
from frontend.request_id import current_request_id
from frontend.schemas.errors import ErrorBody
from frontend.schemas.timings import Timings
from frontend.schemas.video_fields import SamplingReport
from frontend.schemas.videos_generations import VideoData, VideoGenerationRequest, VideoGenerationResponse
from frontend.services import Services, ServicesDep
from frontend.video_plan import VideoPlan, check_supported, plan_video

router = APIRouter(tags=["videos"])

_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "Not JSON, or something that the model cannot do."},
    404: {"model": ErrorBody, "description": "No such model; the message names those served."},
    413: {"model": ErrorBody, "description": "The body is too large."},
    415: {"model": ErrorBody, "description": "The Content-Type is not application/json."},
    422: {"model": ErrorBody, "description": "A field is missing, has the wrong type, or is out of bounds."},
    429: {"model": ErrorBody, "description": "The queue is full; see Retry-After."},
    500: {"model": ErrorBody, "description": "A fault of ours; the message has the request's id."},
    503: {"model": ErrorBody, "description": "Triton or a model is away, or died during the job; see Retry-After."},
    504: {"model": ErrorBody, "description": "The job was not done in its time."},
}


@router.post(
    "/v1/videos/generations",
    summary="Make clips from a text",
    description="Waits until the clips are done. A client that closes the connection stops its jobs.",
    response_description="The clips as base64 MP4, and what was really made.",
    responses=_ERRORS,
    dependencies=[Depends(require_json)],
)
async def create_videos(
    body: VideoGenerationRequest, request: Request, services: ServicesDep
) -> VideoGenerationResponse:
    return await until_disconnected(request, _create(body, services))


async def _create(body: VideoGenerationRequest, services: Services) -> VideoGenerationResponse:
    started = time.monotonic()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    card = await services.catalog.choose(body.model, "text-to-video")
    plan = plan_video(body, card)
    clips = await services.clips.make_all(plan.model, plan.clips, plan.fps, current_request_id())
    data = [
        VideoData(
            b64_json=await _base64(clip.mp4),
            seed=clip.info.params.seed,
            timings=Timings.of_job(clip.info.timings, clip.encode_seconds),
        )
        for clip in clips
    ]
    return _response(plan, clips, data, time.monotonic() - started)


def _response(plan: VideoPlan, clips: list[Clip], data: list[VideoData], seconds: float) -> VideoGenerationResponse:
    made = clips[0].info.params
    return VideoGenerationResponse(
        created=int(time.time()),
        model=plan.model,
        size=f"{made.width}x{made.height}",
        num_frames=made.num_frames,
        fps=float(plan.fps),
        seconds=float(made.num_frames / plan.fps),
        params=SamplingReport.model_validate(made.model_dump()),
        data=data,
        timings=Timings.of_request([clip.timings for clip in data], seconds),
        warnings=list(plan.warnings),
    )


async def _base64(mp4: bytes) -> str:
    return (await asyncio.to_thread(base64.b64encode, mp4)).decode()
