"""`POST /v1/videos/generations`."""

import time

from fastapi import APIRouter, Depends, Request

from frontend.content_type import require_json
from frontend.http.body import read_json
from frontend.http.disconnect import until_disconnected
from frontend.http.openapi_body import json_body
from frontend.http.request_id import current_request_id
from frontend.model_catalog import ModelCatalog
from frontend.routes.generation_errors import GENERATION_ERRORS
from frontend.schemas.videos_generations import VideoGenerationRequest, VideoGenerationResponse
from frontend.services import Services, ServicesDep
from frontend.video_plan import check_supported, plan_video
from frontend.video_report import data_of, report_of
from protocol.errors import InvalidRequest
from protocol.model_card import ModelCard

router = APIRouter(tags=["videos"])


@router.post(
    "/v1/videos/generations",
    summary="Make clips from a text",
    description="Waits until the clips are done. A client that closes the connection stops its jobs.",
    response_description="The clips as base64 MP4, and what was really made.",
    responses=GENERATION_ERRORS,
    dependencies=[Depends(require_json)],
    openapi_extra=json_body(VideoGenerationRequest),
)
async def create_videos(request: Request, services: ServicesDep) -> VideoGenerationResponse:
    body = await read_json(request, VideoGenerationRequest)
    return await until_disconnected(request, _create(body, services))


async def _create(body: VideoGenerationRequest, services: Services) -> VideoGenerationResponse:
    started = time.monotonic()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    plan = plan_video(body, await _choose(services.catalog, body.model))
    clips = await services.clips.make_all(plan.model, plan.clips, plan.fps, current_request_id())
    data = await data_of(clips)
    report = report_of(plan, clips, data, time.monotonic() - started)
    seconds = float(report.num_frames / plan.fps)
    return VideoGenerationResponse(**dict(report), created=int(time.time()), seconds=seconds, data=data)


async def _choose(catalog: ModelCatalog, model: str | None) -> ModelCard:
    if model is not None and (await catalog.get(model)).needs_image:
        raise InvalidRequest(f"{model} starts from an image: use POST /v1/videos with an input_reference", "model")
    return await catalog.choose(model, "text-to-video")
