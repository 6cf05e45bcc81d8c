"""Videos made of others: `POST /v1/videos/{video_id}/remix`, `/v1/videos/edits` and `/v1/videos/extensions`."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel

from frontend.errors import NotImplementedHere
from frontend.http.body import FORM, JSON, URLENCODED, read_form_or_json
from frontend.http.disconnect import until_disconnected
from frontend.http.documented_errors import GENERATION_ERRORS
from frontend.http.openapi_body import inline_schema
from frontend.http.openapi_headers import IDEMPOTENCY, PREFER, REPEATS
from frontend.http.prefer import Preference, preference_of
from frontend.http.request_identity import RequestIdentity, identity_of
from frontend.job_files import check_completed
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import Job
from frontend.plan import check_unknown_fields, plan_extension, plan_remix
from frontend.routes.create_answer import answer_to_create
from frontend.schemas.errors import ErrorBody
from frontend.schemas.videos import CreatedVideo, ExtendRequest, RemixRequest, Video
from frontend.services import Services, ServicesDep
from frontend.submission import submit_once
from frontend.visible_jobs import visible_job
from protocol.errors import InvalidRequest, ModelNotFound
from protocol.model_card import ModelCard


def _body(model: type[BaseModel]) -> dict[str, Any]:
    content = {content_type: {"schema": inline_schema(model)} for content_type in (JSON, FORM, URLENCODED)}
    return {"requestBody": {"required": True, "content": content}}


router = APIRouter(prefix="/v1/videos", tags=["videos"])

_TEXTS = frozenset({"prompt", "id"})
_NOT_FOUND: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "The video is not found or has expired, or its model is not served."}
}
_NOT_IMPLEMENTED: dict[int | str, dict[str, Any]] = {
    501: {"model": ErrorBody, "description": "Always: no served model can do it."}
}
_NO_MODEL: dict[int | str, dict[str, Any]] = {
    501: {"model": ErrorBody, "description": "No served model makes videos from images."}
}


@router.post(
    "/{video_id}/remix",
    summary="Make a finished video again, from another prompt",
    description="Everything but the prompt is as it was, the seed too. A video that started from an image starts from "
    f"the first frame that was made of it. {REPEATS}",
    response_description="As of `POST /v1/videos`.",
    responses=GENERATION_ERRORS | _NOT_FOUND,
    openapi_extra=_body(RemixRequest) | {"parameters": [PREFER, IDEMPOTENCY]},
)
async def remix_video(
    request: Request, response: Response, video_id: str, services: ServicesDep
) -> CreatedVideo | Video:
    preference = preference_of(request, waits=services.settings.videos_respond == "wait")
    body, _ = await read_form_or_json(request, RemixRequest, texts=_TEXTS, file_field="", other_file_fields=())
    identity = identity_of(request, body)
    original = await visible_job(request, services, "video", video_id)

    async def plan() -> JobSpec:
        created_at = time.time()
        check_unknown_fields(body, refuse=services.settings.unknown_fields == "refuse")
        check_completed(original)
        await services.catalog.get(original.spec.model)  # it may have gone meanwhile
        spec = plan_remix(original.spec, body, created_at, detached=preference.seconds is not None)
        return spec.starting_from(await services.files.first_frame(original)) if original.has_image else spec

    return await until_disconnected(request, _make(request, response, services, identity, preference, plan))


@router.post("/edits", summary="Edit a video (not implemented)", responses=_NOT_IMPLEMENTED)
async def edit_video() -> Video:
    raise NotImplementedHere(
        "no served model edits videos; POST /v1/videos/{video_id}/remix makes a video again from another prompt"
    )


@router.post(
    "/extensions",
    summary="Make a finished video longer",
    description="The answer is a new video: the old one, and what an image-to-video model makes from its last frame, "
    f"with that model's defaults. Of several videos of a request the first is taken. {REPEATS}",
    response_description="As of `POST /v1/videos`.",
    responses=GENERATION_ERRORS | _NOT_FOUND | _NO_MODEL,
    openapi_extra=_body(ExtendRequest) | {"parameters": [PREFER, IDEMPOTENCY]},
)
async def extend_video(request: Request, response: Response, services: ServicesDep) -> CreatedVideo | Video:
    preference = preference_of(request, waits=services.settings.videos_respond == "wait")
    body, file = await read_form_or_json(request, ExtendRequest, texts=_TEXTS, file_field="video", other_file_fields=())
    if file is not None or body.video is None or body.video.id is None:
        raise InvalidRequest("must be the id of a video that this server has made: video[id] in a form", "video")
    identity = identity_of(request, body)
    original = await visible_job(request, services, "video", body.video.id)

    async def plan() -> JobSpec:
        created_at = time.time()
        check_unknown_fields(body, refuse=services.settings.unknown_fields == "refuse")
        check_completed(original)
        card = await _model_that_goes_on(services, original)
        spec = plan_extension(original, body, card, created_at, detached=preference.seconds is not None)
        return spec.starting_from(await services.files.last_frame(original))

    return await until_disconnected(request, _make(request, response, services, identity, preference, plan))


async def _model_that_goes_on(services: Services, original: Job) -> ModelCard:
    """The video's own model where it starts from images, or another. Raises NotImplementedHere."""
    try:
        card = await services.catalog.get(original.spec.model)
        if "image-to-video" in card.tasks:
            return card
    except ModelNotFound:
        pass  # another one does as well
    try:
        return await services.catalog.choose(None, "image-to-video", "video")
    except InvalidRequest as error:
        raise NotImplementedHere(f"a video goes on from its last frame, and {error.message}") from None


async def _make(
    request: Request,
    response: Response,
    services: Services,
    identity: RequestIdentity,
    preference: Preference,
    plan: Callable[[], Awaitable[JobSpec]],
) -> CreatedVideo | Video:
    job = await submit_once(services, identity, plan)
    return await answer_to_create(request, response, services, job, identity, preference)
