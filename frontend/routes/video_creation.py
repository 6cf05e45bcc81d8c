"""`POST /v1/videos`, and `/v1/videos/sync`, which is answered with the file itself."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from frontend.http.body import FORM, JSON, URLENCODED, read_form_or_json
from frontend.http.disconnect import until_disconnected
from frontend.http.documented_errors import GENERATION_ERRORS
from frontend.http.openapi_body import form_schema, inline_schema
from frontend.http.openapi_headers import IDEMPOTENCY, PREFER, REPEATS
from frontend.http.prefer import Preference, preference_of
from frontend.http.request_identity import RequestIdentity, identity_of
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import FinishedJob
from frontend.media.reference_image import FIELD, OTHER_FIELDS, ReferenceImage
from frontend.plan import check_supported, plan_video
from frontend.routes.create_answer import answer_to_create
from frontend.schemas.videos import TEXT_FIELDS, CreatedVideo, ImageReference, Video, VideoCreateRequest
from frontend.services import Services, ServicesDep
from frontend.submission import ended, submit_once
from frontend.video_service.hosted_plan import size_of_start
from frontend.video_service.openai_plan import plan_hosted_video
from protocol.errors import InvalidRequest

router = APIRouter(prefix="/v1/videos", tags=["videos"])
PATHS = (router.prefix, f"{router.prefix}/sync")
"""whose bodies may carry an image"""

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            FORM: {"schema": form_schema(VideoCreateRequest, FIELD, ImageReference, with_file=True)},
            URLENCODED: {"schema": form_schema(VideoCreateRequest, FIELD, ImageReference, with_file=False)},
            JSON: {"schema": inline_schema(VideoCreateRequest)},
        },
    }
}
_LEAVES = "A client that closes the connection stops its job."
_SYNC_ANSWER = {
    "content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}},
    "headers": {
        "X-Video-Id": {"schema": {"type": "string"}, "description": "For `GET /v1/videos/{id}`."},
        "X-Model": {"schema": {"type": "string"}},
        "X-Inference-Time-S": {"schema": {"type": "string"}, "description": "Seconds from the request to the video."},
        "X-Stage-Durations": {"schema": {"type": "string"}, "description": "Seconds of each phase, as JSON."},
    },
}


@router.post(
    "",
    summary="Make videos from a text, and from an image where there is one",
    description="OpenAI's way to ask, as a form or as JSON. Waits until the videos are done, and the answer has them; "
    f"they stay for a while at `/v1/videos/{{id}}/content`. {_LEAVES} {REPEATS} In a form, `lora`, `video_params` and "
    "`extra_body` are JSON text.",
    response_description="The video object, the videos as base64 MP4, and what was really made; of an answer that does "
    "not wait the video object alone.",
    responses=GENERATION_ERRORS,
    openapi_extra=_BODY | {"parameters": [PREFER, IDEMPOTENCY]},
)
async def create_video(request: Request, response: Response, services: ServicesDep) -> CreatedVideo | Video:
    preference = preference_of(request, waits=services.settings.videos_respond == "wait")
    body, upload, identity = await _read(request)
    return await until_disconnected(request, _create(request, response, services, body, upload, identity, preference))


@router.post(
    "/sync",
    summary="Make a video, and answer with the file itself",
    description=f"The same request for one video; the answer is the MP4, as vLLM-Omni has it. {_LEAVES} {REPEATS}",
    response_class=Response,
    response_description="The MP4.",
    responses=GENERATION_ERRORS | {200: _SYNC_ANSWER},
    openapi_extra=_BODY | {"parameters": [IDEMPOTENCY]},
)
async def create_video_sync(request: Request, services: ServicesDep) -> Response:
    body, upload, identity = await _read(request)
    if (body.n or 1) > 1:
        raise InvalidRequest("must be 1: the answer is one file; POST /v1/videos makes several", "n")
    finished = await until_disconnected(request, _finish(services, body, upload, identity))
    return _file_response(finished)


async def _read(request: Request) -> tuple[VideoCreateRequest, bytes | None, RequestIdentity]:
    """The request, the file that came with it, and what tells it from others."""
    body, upload = await read_form_or_json(
        request, VideoCreateRequest, texts=TEXT_FIELDS, file_field=FIELD, other_file_fields=OTHER_FIELDS
    )
    return (
        body,
        upload,
        await asyncio.to_thread(identity_of, request, body, upload),
    )  # megabytes, where there is an image


async def _create(
    request: Request,
    response: Response,
    services: Services,
    body: VideoCreateRequest,
    upload: bytes | None,
    identity: RequestIdentity,
    preference: Preference,
) -> CreatedVideo | Video:
    detached = preference.seconds is not None
    job = await submit_once(services, identity, lambda: _plan(services, body, upload, detached=detached))
    return await answer_to_create(request, response, services, job, identity, preference, body.response_format)


async def _finish(
    services: Services, body: VideoCreateRequest, upload: bytes | None, identity: RequestIdentity
) -> FinishedJob:
    job = await submit_once(services, identity, lambda: _plan(services, body, upload, detached=False))
    return await ended(services, job, identity)


async def _plan(services: Services, body: VideoCreateRequest, upload: bytes | None, *, detached: bool) -> JobSpec:
    created_at = time.time()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    has_image = upload is not None or body.input_reference is not None
    plan = await _planner(services, body, created_at, has_image=has_image)
    async with _image(body.input_reference, upload, services) as image:
        spec = plan(image)
        if image is not None:
            spec = spec.starting_from(await services.images.fit(image, *size_of_start(spec, image)))
    return spec.model_copy(update={"detached": detached})


async def _planner(
    services: Services, body: VideoCreateRequest, created_at: float, *, has_image: bool
) -> Callable[[ReferenceImage | None], JobSpec]:
    """Plans for the model that the request asks for, a provider's or one of this server."""
    hosted = services.video_service.hosted(body.model)
    if hosted is not None:
        return partial(plan_hosted_video, body, hosted)
    card = await services.catalog.choose(body.model, "image-to-video" if has_image else "text-to-video", FIELD)
    return partial(plan_video, body, card, created_at)


def _file_response(finished: FinishedJob) -> Response:
    """The first file, with vLLM-Omni's headers."""
    state, report = finished.job.state, finished.job.outputs[0].report
    seconds = (state.finished_at or 0) - finished.job.spec.created_at
    stages = {name: value for name, value in report.timings.model_dump().items() if name != "total_seconds"}
    headers = {
        "X-Video-Id": finished.job.spec.id,
        "X-Model": quote(finished.job.spec.model),
        "X-Inference-Time-S": f"{max(0.0, seconds):.3f}",
        "X-Stage-Durations": json.dumps(stages),
    }
    return Response(finished.files[0], media_type="video/mp4", headers=headers)


@asynccontextmanager
async def _image(
    reference: ImageReference | None, upload: bytes | None, services: Services
) -> AsyncIterator[ReferenceImage | None]:
    """The image that the request brings, or names. Raises InvalidImage, InvalidRequest, TooManyUploads."""
    async with AsyncExitStack() as held:
        if upload is None and reference is not None:
            url = _url(reference)
            upload = await held.enter_async_context(services.image_fetcher.fetched(url, f"{FIELD}.image_url"))
        if upload is None:
            yield None
        else:
            yield await asyncio.to_thread(ReferenceImage.open, upload, services.settings.max_image_pixels)


def _url(reference: ImageReference) -> str:
    """Raises InvalidRequest."""
    if reference.file_id is not None:
        raise InvalidRequest("file_id is not supported, send the file itself or its URL as image_url", FIELD)
    if reference.image_url is None:
        raise InvalidRequest("has no image_url", FIELD)
    return reference.image_url
