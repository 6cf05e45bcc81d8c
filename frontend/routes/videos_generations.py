"""`POST /v1/videos/generations`."""

import time

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import BaseModel

from frontend.generation_stream import generation_events
from frontend.http.body import read_json
from frontend.http.disconnect import until_disconnected
from frontend.http.documented_errors import GENERATION_ERRORS
from frontend.http.openapi_body import json_body
from frontend.http.openapi_headers import IDEMPOTENCY, REPEATS
from frontend.http.request_identity import RequestIdentity, identity_of
from frontend.http.sse import event_stream
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import FinishedJob
from frontend.links import Links, links_for
from frontend.model_catalog import ModelCatalog
from frontend.plan import check_supported, plan_video
from frontend.report import videos_response
from frontend.schemas.videos_generations import (
    VideoGenerationCompleted,
    VideoGenerationRequest,
    VideoGenerationResponse,
)
from frontend.services import Services, ServicesDep
from frontend.submission import ended, submit_once
from protocol.errors import InvalidRequest
from protocol.model_card import ModelCard

router = APIRouter(tags=["videos"])


@router.post(
    "/v1/videos/generations",
    summary="Make videos from a text",
    description="Waits until the videos are done. A client that closes the connection stops its job. With "
    "`stream: true` the answer is the server-sent events of `/v1/videos/{id}/events`, then "
    f"`video_generation.completed` with the same body, or `error`. {REPEATS}",
    response_model=VideoGenerationResponse,
    response_description="The videos as base64 MP4, and what was really made.",
    responses=GENERATION_ERRORS,
    openapi_extra=json_body(VideoGenerationRequest) | {"parameters": [IDEMPOTENCY]},
)
async def create_videos(request: Request, services: ServicesDep) -> Response | VideoGenerationResponse:
    body = await read_json(request, VideoGenerationRequest)
    identity, links = identity_of(request, body), await links_for(request, services)
    if not body.stream:
        return await until_disconnected(request, _create(body, identity, services, links))

    async def results(finished: FinishedJob) -> list[BaseModel]:
        response = await videos_response(finished, links, body.response_format)
        return [VideoGenerationCompleted(**dict(response))]

    job = await until_disconnected(request, submit_once(services, identity, lambda: _plan(body, services)))
    return event_stream(request, generation_events(job, services, identity, results, with_progress=True))


async def _create(
    body: VideoGenerationRequest, identity: RequestIdentity, services: Services, links: Links
) -> VideoGenerationResponse:
    job = await submit_once(services, identity, lambda: _plan(body, services))
    return await videos_response(await ended(services, job, identity), links, body.response_format)


async def _plan(body: VideoGenerationRequest, services: Services) -> JobSpec:
    created_at = time.time()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    return plan_video(body, await _choose(services.catalog, body.model), created_at)


async def _choose(catalog: ModelCatalog, model: str | None) -> ModelCard:
    if model is not None and (await catalog.get(model)).needs_image:
        raise InvalidRequest(f"{model} starts from an image: use POST /v1/videos with an input_reference", "model")
    return await catalog.choose(model, "text-to-video")
