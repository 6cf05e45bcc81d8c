"""The files of videos and images."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from frontend.http.ranges import file_response
from frontend.job_files import IMAGE, VIDEO
from frontend.schemas.errors import ErrorBody
from frontend.services import Services, ServicesDep
from frontend.storage.object_key import suffix_of
from frontend.storage.storage import StoredFile
from frontend.visible_jobs import visible_job

router = APIRouter()


def _files(*media_types: str) -> dict[str, Any]:
    return {"content": {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in media_types}}


def _responses(kind: str, *media_types: str) -> dict[int | str, dict[str, Any]]:
    files = _files(*media_types)
    return {
        200: files,
        206: files | {"description": "The bytes that `Range` asks for."},
        403: {"model": ErrorBody, "description": "The signature of the URL is wrong, or has expired."},
        404: {"model": ErrorBody, "description": f"The {kind} is not found or has expired."},
        409: {"model": ErrorBody, "description": f"The {kind} is not ready, or has failed."},
        416: {"model": ErrorBody, "description": "The range begins behind the end of the file."},
        "default": {"model": ErrorBody, "description": "Any other error."},
    }


_ABOUT = (
    "Streamed from storage, whole or in part (`Range`). Its `ETag` is the SHA-256 of the whole file. With `expires` "
    "and `signature`, as the URLs in responses have them, no API key is needed; one that is wrong or has expired is "
    "answered with 403."
)
_Index = Annotated[int, Query(ge=0, description="Which of the request's files, from 0; as in `data`.")]


@router.get(
    "/v1/videos/{video_id}/content",
    summary="Download a finished video, or an image of it",
    description="The MP4; or a `thumbnail`, a WebP of the frame in the middle, at most 320 pixels a side; or a "
    f"`spritesheet`, a JPEG of up to 16 frames at equal distances, in rows of four. {_ABOUT}",
    response_class=Response,
    responses=_responses("video", "video/mp4", "image/webp", "image/jpeg"),
    tags=["videos"],
)
async def get_video_content(
    request: Request,
    video_id: str,
    services: ServicesDep,
    variant: Annotated[str, Query(description="`video`, `thumbnail` or `spritesheet`.")] = VIDEO,
    index: _Index = 0,
) -> Response:
    job = await visible_job(request, services, "video", video_id)
    return await _response(request, services, await services.files.variant(job, variant, index))


@router.get(
    "/v1/images/{image_id}/content",
    summary="Download a finished image, or a small version of it",
    description=f"The image; or a `thumbnail`, a WebP of at most 320 pixels a side. {_ABOUT}",
    response_class=Response,
    responses=_responses("image", "image/png", "image/jpeg", "image/webp"),
    tags=["images"],
)
async def get_image_content(
    request: Request,
    image_id: str,
    services: ServicesDep,
    variant: Annotated[str, Query(description="`image` or `thumbnail`.")] = IMAGE,
    index: _Index = 0,
) -> Response:
    job = await visible_job(request, services, "image", image_id)
    return await _response(request, services, await services.files.variant(job, variant, index))


async def _response(request: Request, services: Services, file: StoredFile) -> Response:
    name = file.name
    stem = [
        name.job_id,
        *([str(name.part)] if name.part else []),
        *([] if name.kind in (VIDEO, IMAGE) else [name.kind]),
    ]
    headers = {"Content-Disposition": f'inline; filename="{"-".join(stem)}.{suffix_of(file.media_type)}"'}
    return await file_response(request, file, services.storage, headers)
