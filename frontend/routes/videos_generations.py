"""`POST /v1/videos/generations`."""

import time

from fastapi import APIRouter, Request
from fastapi.responses import Response

from frontend.generation import Generation
from frontend.http.body import read_json
from frontend.http.documented_errors import GENERATION_ERRORS
from frontend.http.openapi_body import json_body
from frontend.http.openapi_headers import IDEMPOTENCY, PREFER_JOB, REPEATS
from frontend.http.request_identity import identity_of
from frontend.job_events import progress_events
from frontend.jobs.spec import JobSpec
from frontend.links import links_for
from frontend.model_catalog import ModelCatalog
from frontend.plan import check_supported, plan_video
from frontend.report import videos_response
from frontend.routes.create_answer import answer_when_wanted
from frontend.routes.jobs import JOB_GOES_ON, described_job
from frontend.schemas.job_events import PreviewsParam
from frontend.schemas.jobs import JobObject
from frontend.schemas.videos_generations import (
    VideoGenerationCompleted,
    VideoGenerationRequest,
    VideoGenerationResponse,
)
from frontend.services import Services, ServicesDep
from frontend.video_service.openai_plan import plan_hosted_video
from protocol.errors import InvalidRequest
from protocol.model_card import ModelCard

router = APIRouter(tags=["videos"])


@router.post(
    "/v1/videos/generations",
    summary="Make videos from a text",
    description="Waits until the videos are done. A client that closes the connection stops its job. With "
    "`stream: true` the answer is the server-sent events of `/v1/videos/{id}/events`, then "
    f"`video_generation.completed` with the same body, or `error`. {REPEATS}",
    response_model=VideoGenerationResponse | JobObject,
    response_description="The videos as base64 MP4, and what was really made.",
    responses=GENERATION_ERRORS | JOB_GOES_ON,
    openapi_extra=json_body(VideoGenerationRequest) | {"parameters": [PREFER_JOB, IDEMPOTENCY]},
)
async def create_videos(
    request: Request, response: Response, services: ServicesDep, previews: PreviewsParam = False
) -> Response | VideoGenerationResponse | JobObject:
    body = await read_json(request, VideoGenerationRequest)
    identity, links = identity_of(request, body), await links_for(request, services)
    generation = Generation(
        request,
        services,
        identity,
        lambda: _plan(body, services),
        lambda finished: videos_response(finished, links, body.response_format),
    )
    if body.stream:
        return await generation.stream(
            lambda answer: [VideoGenerationCompleted(**dict(answer))],
            lambda job: progress_events(job, services.jobs.listen(job.spec.id, previews=previews)),
        )
    return await answer_when_wanted(generation, response, lambda job: described_job(request, response, services, job))


async def _plan(body: VideoGenerationRequest, services: Services) -> JobSpec:
    created_at = time.time()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    hosted = services.video_service.hosted(body.model)
    if hosted is not None:
        return plan_hosted_video(body, hosted, None)
    return plan_video(body, await _choose(services.catalog, body.model), created_at)


async def _choose(catalog: ModelCatalog, model: str | None) -> ModelCard:
    if model is not None and (await catalog.get(model)).needs_image:
        raise InvalidRequest(f"{model} starts from an image: use POST /v1/videos with an input_reference", "model")
    return await catalog.choose(model, "text-to-video")
