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
from frontend.http.request_identity import RequestIdentity, identity_of
from frontend.http.sse import event_stream
from frontend.jobs.state import FinishedJob
from frontend.model_catalog import ModelCatalog
from frontend.plan import check_supported, plan_video
from frontend.report import videos_response
from frontend.schemas.videos_generations import VideoGenerationRequest, VideoGenerationResponse
from frontend.services import Services, ServicesDep
from protocol.errors import InvalidRequest
from protocol.model_card import ModelCard

router = APIRouter(tags=["videos"])


@router.post(
    "/v1/videos/generations",
    summary="Make videos from a text",
    description="Waits until the videos are done. A client that closes the connection stops its job. With "
    "`stream: true` the answer is the server-sent events of `/v1/videos/{id}/events`, then "
    "`video_generation.completed` with the same body, or `error`.",
    response_model=VideoGenerationResponse,
    response_description="The videos as base64 MP4, and what was really made.",
    responses=GENERATION_ERRORS,
    openapi_extra=json_body(VideoGenerationRequest),
)
async def create_videos(request: Request, services: ServicesDep) -> Response | VideoGenerationResponse:
    body = await read_json(request, VideoGenerationRequest)
    identity = identity_of(request, body)
    if not body.stream:
        return await until_disconnected(request, _create(body, identity, services))
    job_id = await until_disconnected(request, _submit(body, identity, services))
    return event_stream(request, generation_events(job_id, services.jobs, _results, with_progress=True))


async def _results(finished: FinishedJob) -> list[tuple[str, BaseModel]]:
    return [("video_generation.completed", await videos_response(finished))]


async def _create(
    body: VideoGenerationRequest, identity: RequestIdentity, services: Services
) -> VideoGenerationResponse:
    return await videos_response(await services.jobs.wait(await _submit(body, identity, services)))


async def _submit(body: VideoGenerationRequest, identity: RequestIdentity, services: Services) -> str:
    """The id of the job."""
    created_at = time.time()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    limits = await services.admission.admit(identity.owner)
    card = await _choose(services.catalog, body.model)
    spec = plan_video(body, card, created_at)
    await services.jobs.submit(spec, owner=identity.owner, request_hash=identity.request_hash, limits=limits)
    return spec.id


async def _choose(catalog: ModelCatalog, model: str | None) -> ModelCard:
    if model is not None and (await catalog.get(model)).needs_image:
        raise InvalidRequest(f"{model} starts from an image: use POST /v1/videos with an input_reference", "model")
    return await catalog.choose(model, "text-to-video")
