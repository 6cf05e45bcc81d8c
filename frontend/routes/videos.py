"""`POST /v1/videos`, `GET /v1/videos/{video_id}` and its `/content`."""

import asyncio
import time
import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from frontend.content_type import MULTIPART, is_json, is_multipart, unsupported
from frontend.http.body import read_form, read_json
from frontend.http.disconnect import until_disconnected
from frontend.http.openapi_body import JSON, form_schema, inline_schema
from frontend.http.request_id import current_request_id
from frontend.media.data_uri import bytes_of_data_uri
from frontend.media.reference_image import FIELD, ReferenceImage
from frontend.recent_videos import RecentVideo
from frontend.routes.generation_errors import GENERATION_ERRORS
from frontend.schemas.errors import ErrorBody
from frontend.schemas.videos import TEXT_FIELDS, CreatedVideo, ImageReference, Video, VideoCreateRequest
from frontend.services import Services, ServicesDep
from frontend.video_plan import check_supported, plan_video
from frontend.video_report import data_of, report_of
from protocol.errors import InvalidRequest

router = APIRouter(prefix="/v1/videos", tags=["videos"])

_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {"schema": form_schema(VideoCreateRequest, FIELD, ImageReference)},
            JSON: {"schema": inline_schema(VideoCreateRequest)},
        },
    }
}
_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "No such video, or no longer."},
    "default": {"model": ErrorBody, "description": "Any other error."},
}


@router.post(
    "",
    summary="Make clips from a text, and from an image where there is one",
    description="OpenAI's way to ask, as a form or as JSON. Waits until the clips are done, and the answer has them; "
    "the first one stays for a while at `/v1/videos/{id}/content`. A client that closes the connection stops its "
    "jobs. In a form, `lora`, `video_params` and `extra_body` are JSON text.",
    response_description="The video object, the clips as base64 MP4, and what was really made.",
    responses=GENERATION_ERRORS,
    openapi_extra=_BODY,
)
async def create_video(request: Request, services: ServicesDep) -> CreatedVideo:
    body, upload = await _read(request)
    return await until_disconnected(request, _create(body, upload, services))


@router.get("/{video_id}", summary="Describe a finished video", responses=_ERRORS)
async def get_video(video_id: str, services: ServicesDep) -> Video:
    return services.recent_videos.get(video_id).video


@router.get(
    "/{video_id}/content",
    summary="Download a finished video",
    description="The first clip of its request.",
    response_class=Response,
    responses=_ERRORS | {200: {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}}},
)
async def get_content(
    video_id: str,
    services: ServicesDep,
    variant: Annotated[str, Query(description="`video` is the only one.")] = "video",
) -> Response:
    recent = services.recent_videos.get(video_id)
    if variant != "video":
        raise InvalidRequest("must be video", "variant")
    headers = {"Content-Disposition": f'inline; filename="{video_id}.mp4"'}
    return Response(recent.mp4, media_type="video/mp4", headers=headers)


async def _read(request: Request) -> tuple[VideoCreateRequest, bytes | None]:
    """The request, and the uploaded file."""
    if is_multipart(request):
        return await read_form(request, VideoCreateRequest, texts=TEXT_FIELDS, file_field=FIELD)
    if is_json(request):
        return await read_json(request, VideoCreateRequest), None
    raise unsupported(request, f"{MULTIPART} or {JSON}")


async def _create(body: VideoCreateRequest, upload: bytes | None, services: Services) -> CreatedVideo:
    created_at, started = int(time.time()), time.monotonic()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    image = await _image(body.input_reference, upload, services)
    card = await services.catalog.choose(body.model, "image-to-video" if image else "text-to-video", FIELD)
    plan = plan_video(body, card, image)
    if image is not None:
        plan = plan.starting_from(await services.images.fit(image, plan.clips[0].width, plan.clips[0].height))
    clips = await services.clips.make_all(plan.model, plan.clips, plan.fps, current_request_id())
    data = await data_of(clips)
    report = report_of(plan, clips, data, time.monotonic() - started)
    completed_at = int(time.time())
    video = Video(
        **dict(report),
        id=f"video_{uuid.uuid4().hex}",
        prompt=body.prompt,
        seconds=f"{float(report.num_frames / plan.fps):g}",
        created_at=created_at,
        completed_at=completed_at,
        expires_at=completed_at + services.settings.recent_videos_max_age_seconds,
    )
    services.recent_videos.add(RecentVideo(video, clips[0].mp4))
    return CreatedVideo(**dict(video), created=completed_at, data=data)


async def _image(reference: ImageReference | None, upload: bytes | None, services: Services) -> ReferenceImage | None:
    """The image that the request brings. Raises InvalidImage, InvalidRequest."""
    if upload is None and reference is not None:
        if reference.file_id is not None:
            raise InvalidRequest("file_id is not supported, send the file itself or a data: URI as image_url", FIELD)
        if reference.image_url is None:
            raise InvalidRequest("has no image_url", FIELD)
        upload = await asyncio.to_thread(bytes_of_data_uri, reference.image_url, FIELD)
    if upload is None:
        return None
    return await asyncio.to_thread(ReferenceImage.open, upload, services.settings.max_image_pixels)
