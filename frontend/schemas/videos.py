"""`POST /v1/videos` and `GET /v1/videos/{video_id}`: OpenAI's video object, and what this server adds to it."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import PydanticCustomError

from frontend.http.openapi_body import inline_schema
from frontend.schemas.fields import URL_DESCRIPTION, Fields, Word, is_none
from frontend.schemas.pages import ListPage
from frontend.schemas.record import Record
from frontend.schemas.video_fields import Seconds, VideoRequest
from frontend.schemas.video_report import HostedSource, VideoData, VideoDescription
from protocol.sampling import Prompt


class ImageReference(Fields):
    """An image that is not uploaded as a file."""

    image_url: str | None = Field(
        None,
        description="The URL of a PNG, JPEG or WebP image: a `data:` URI, or an `https://` URL on the public internet, "
        "which the server fetches within 20 s (unless `TRITONREEL_FETCH_URLS` is `off`).",
        examples=["data:image/png;base64,iVBORw0KGgo...", "https://images.example/photo.jpg"],
    )
    file_id: Word | None = Field(None, description="Uploaded files are not supported (400).")


def _check_reference(value: Any) -> Any:
    if isinstance(value, str):
        raise PydanticCustomError(
            "image_reference", "must be a file (curl: -F input_reference=@FILE), or an object with `image_url`"
        )
    return value


class VideoCreateRequest(VideoRequest):
    """A request for videos from a text, and an image where there is one. A field that is null counts as absent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "a red circle moves right", "seconds": 5, "size": "832x480"},
                {
                    "prompt": "it moves right",
                    "input_reference": {"image_url": "data:image/png;base64,iVBORw0KGgo..."},
                    "seed": 42,
                },
            ]
        }
    )

    input_reference: Annotated[ImageReference | None, BeforeValidator(_check_reference)] = Field(
        None,
        description="The image that the video starts from. It takes its aspect, unless a size is asked: then the "
        "image is scaled to cover it, and cropped about its centre.",
    )


def _texts(schema: dict[str, Any], name: str = "") -> Iterator[str]:
    """Names of the fields, and of fields of fields, that can be text."""
    if schema.get("type") == "string":
        yield name
    if any(option.get("type") == "number" for option in schema.get("anyOf", [])):
        return  # `seconds`: as text it is one that looks like a number
    for option in [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]:
        yield from _texts(option, name)
    for inner, field in schema.get("properties", {}).items():
        yield from _texts(field, inner)


TEXT_FIELDS = frozenset(_texts(inline_schema(VideoCreateRequest)))
"""the fields, and fields of fields, that are text: "5" stays "5" there when it comes in a form"""


class Video(Record, VideoDescription):
    """OpenAI's video object, and what is made, or was."""

    object: Literal["video"] = "video"
    status: Literal["queued", "in_progress", "completed", "failed"] = Field(
        description="A video whose client stopped it has `failed` with the code `cancelled`."
    )
    seconds: str = Field(description="num_frames / fps.", examples=["5.0625"])
    url: str | None = Field(description=f"Of the first video, once it is completed. {URL_DESCRIPTION}")
    urls: list[str] = Field(description="Of all videos of the request, likewise.")
    hosted: list[HostedSource] | None = Field(
        None, exclude_if=is_none, description="Of each video that a hosted provider has made."
    )


class CreatedVideo(Video):
    """The video object, and the videos themselves."""

    created: int = Field(description="Unix time of the answer.", examples=[1767225660])
    data: list[VideoData]


class VideoList(ListPage[Video]):
    """OpenAI's list of videos."""


class DeletedVideo(BaseModel):
    """What is left of a video."""

    id: str
    object: Literal["video.deleted"] = "video.deleted"
    deleted: Literal[True] = True


class RemixRequest(Prompt, Fields):
    """What to change of a video."""


class VideoReference(Fields):
    """A video that this server has made."""

    id: Word | None = Field(None, description="Its id.", examples=["video_5f0c6c7b1f0d4a0f9d5e6a7b8c9d0e1f"])


class ExtendRequest(Prompt, Fields):
    """How a video goes on."""

    seconds: Seconds = Field(description="What is added; rounded down to 4k frames.", examples=["4"])
    video: VideoReference | None = Field(
        None, description="The video that goes on, which is required. Files are not taken (400)."
    )
