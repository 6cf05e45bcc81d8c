"""`POST /v1/videos`, `GET /v1/videos/{video_id}` and its `/content`."""

import asyncio
import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from frontend.http.body import FORM, JSON, URLENCODED, read_form_or_json
from frontend.http.disconnect import until_disconnected
from frontend.http.documented_errors import GENERATION_ERRORS
from frontend.http.openapi_body import form_schema, inline_schema
from frontend.http.ranges import file_response
from frontend.http.request_identity import RequestIdentity, identity_of
from frontend.media.data_uri import bytes_of_data_uri
from frontend.media.reference_image import FIELD, OTHER_FIELDS, ReferenceImage
from frontend.plan import check_supported, plan_video
from frontend.report import created_video, video_object
from frontend.schemas.errors import ErrorBody
from frontend.schemas.videos import TEXT_FIELDS, CreatedVideo, ImageReference, Video, VideoCreateRequest
from frontend.services import Services, ServicesDep
from protocol.errors import InvalidRequest

router = APIRouter(prefix="/v1/videos", tags=["videos"])

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
_ERRORS: dict[int | str, dict[str, Any]] = {
    404: {"model": ErrorBody, "description": "The video is not found or has expired."},
    "default": {"model": ErrorBody, "description": "Any other error."},
}
_FILE: dict[str, Any] = {"content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}}}
_NO_RANGE = {"model": ErrorBody, "description": "The range begins behind the end of the file."}


@router.post(
    "",
    summary="Make videos from a text, and from an image where there is one",
    description="OpenAI's way to ask, as a form or as JSON. Waits until the videos are done, and the answer has them; "
    "the first one stays for a while at `/v1/videos/{id}/content`. A client that closes the connection stops its "
    "job. In a form, `lora`, `video_params` and `extra_body` are JSON text.",
    response_description="The video object, the videos as base64 MP4, and what was really made.",
    responses=GENERATION_ERRORS,
    openapi_extra=_BODY,
)
async def create_video(request: Request, services: ServicesDep) -> CreatedVideo:
    body, upload = await read_form_or_json(
        request, VideoCreateRequest, texts=TEXT_FIELDS, file_field=FIELD, other_file_fields=OTHER_FIELDS
    )
    identity = await asyncio.to_thread(identity_of, request, body, upload)  # of megabytes, where there is an image
    return await until_disconnected(request, _create(body, upload, identity, services))


@router.get("/{video_id}", summary="Describe a finished video", responses=_ERRORS)
async def get_video(video_id: str, services: ServicesDep) -> Video:
    return video_object(await services.jobs.get(video_id))


@router.get(
    "/{video_id}/content",
    summary="Download a finished video",
    description="The first video of its request, or a part of it (`Range`), streamed from storage. Its `ETag` is the "
    "SHA-256 of the whole file.",
    response_class=Response,
    responses=_ERRORS | {200: _FILE, 206: _FILE | {"description": "The bytes that `Range` asks for."}, 416: _NO_RANGE},
)
async def get_content(
    request: Request,
    video_id: str,
    services: ServicesDep,
    variant: Annotated[str, Query(description="`video` is the only one.")] = "video",
) -> Response:
    job = await services.jobs.get(video_id)
    if variant != "video":
        raise InvalidRequest("must be video", "variant")
    product = job.spec.product
    file = await services.jobs.file(job)
    headers = {"Content-Disposition": f'inline; filename="{video_id}.{product.suffix}"'}
    return await file_response(request, file, services.storage, headers)


async def _create(
    body: VideoCreateRequest, upload: bytes | None, identity: RequestIdentity, services: Services
) -> CreatedVideo:
    created_at = time.time()
    check_supported(body, refuse_unknown_fields=services.settings.unknown_fields == "refuse")
    limits = await services.admission.admit(identity.owner)
    image = await _image(body.input_reference, upload, services)
    card = await services.catalog.choose(body.model, "image-to-video" if image else "text-to-video", FIELD)
    spec = plan_video(body, card, created_at, image)
    if image is not None:
        size = spec.samples[0]
        spec = spec.starting_from(await services.images.fit(image, size.width, size.height))
    await services.jobs.submit(spec, owner=identity.owner, request_hash=identity.request_hash, limits=limits)
    return await created_video(await services.jobs.wait(spec.id))


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
