"""`POST /v1/images/generations`: the request and the response."""

from contextlib import suppress
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from frontend.media.image_encoder import ImageFormat
from frontend.schemas.fields import EXAMPLE_URL, Fields, RequestFields, Word, is_none, parse_size
from frontend.schemas.timings import Timings
from protocol.sampling import MAX_SIDE, ImageOptions, ImageSampling

AUTO = "auto"


def _check_size(size: str) -> str:
    with suppress(ValueError):
        if size == AUTO or all(1 <= side <= MAX_SIDE for side in parse_size(size)):
            return size
    raise PydanticCustomError(
        "size", f'must be "auto", or "WIDTHxHEIGHT" in pixels, each from 1 to {MAX_SIDE}, like "1024x1024"'
    )


SizeOrAuto = Annotated[str, AfterValidator(_check_size)]
Percent = Annotated[int, Field(ge=0, le=100)]
PartialImages = Annotated[int, Field(ge=0, le=3)]


class ImageSamplingFields(ImageOptions, Fields):
    """How to sample an image. May be given at the top level or in `extra_body`."""

    vae_use_slicing: bool | None = Field(None, description="Without effect: one image is decoded at a time.")
    vae_use_tiling: bool | None = Field(None, description="Without effect: images are decoded whole.")


class ImageExtraBody(ImageSamplingFields):
    """Model-specific fields."""


class ImageGenerationRequest(ImageSamplingFields, RequestFields):
    """A text-to-image request. A field that is null counts as absent."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"prompt": "a red circle"},
                {
                    "prompt": "a lighthouse in a storm, oil on canvas",
                    "negative_prompt": "blurry, text",
                    "size": "1024x1024",
                    "n": 2,
                    "true_cfg_scale": 4.0,
                    "seed": 42,
                    "output_format": "webp",
                    "output_compression": 90,
                },
            ]
        }
    )

    size: SizeOrAuto | None = Field(
        None,
        description='"WIDTHxHEIGHT", multiples of the model\'s `size_multiple`, or "auto" for the model\'s own size. '
        "`width` and `height` override it.",
        examples=["1024x1024"],
    )
    output_format: ImageFormat | None = Field(
        None, description="`png` if absent, which keeps every pixel exactly; the others are smaller.", examples=["png"]
    )
    output_compression: Percent | None = Field(
        None,
        description="Quality of `jpeg` and `webp`: 100, which it is if absent, is the best and 0 the smallest file. "
        "`png` knows 100 only (400).",
        examples=[90],
    )
    background: Literal["auto", "opaque", "transparent"] | None = Field(
        None, description="Images are opaque: `transparent` is answered with 400.", examples=["opaque"]
    )
    response_format: Word | None = Field(
        None, description="`b64_json`, which it is if absent, or `url`.", examples=["b64_json"]
    )
    stream: bool | None = Field(None, description="Answer with server-sent events, one for each image.")
    partial_images: PartialImages | None = Field(
        None,
        description="With `stream`: how many rough versions of each image are sent while it is made, one per step "
        "where there are fewer steps. A job that runs in another process has none here.",
        examples=[2],
    )
    quality: Word | None = Field(None, description="Without effect; `num_inference_steps` is what changes quality.")
    style: Word | None = Field(None, description="Without effect; the prompt is what changes style.")
    moderation: Word | None = Field(None, description="Without effect: nothing is moderated.")
    user: Word | None = Field(None, description="Without effect, and not kept.")
    extra_body: ImageExtraBody | None = Field(
        None, description="Fills the fields of the same name that are absent at the top level."
    )


class ImageData(BaseModel):
    """One image."""

    b64_json: str | None = Field(
        None,
        exclude_if=is_none,
        description="The file, base64. A PNG says what it was made with, as JSON in an iTXt chunk `tritonreel`. Left "
        "out where `response_format` is `url`.",
    )
    url: str | None = Field(
        None,
        exclude_if=is_none,
        description="Where `response_format` is `url`: the file, for an hour or so (`TRITONREEL_URL_SECONDS`). Whoever "
        "has this URL needs no API key.",
        examples=[EXAMPLE_URL.replace("video", "image")],
    )
    seed: int = Field(description="The seed that it was made with.", examples=[42])
    timings: Timings


class ImageParams(ImageSampling):
    """What the images were made with; null for what the model has no use for."""

    flow_shift: None = Field(None, description="The schedule is shifted by the size of the image.")


class ImageGenerationResponse(BaseModel):
    """The images, and how they were really made."""

    created: int = Field(description="Unix time.", examples=[1767225600])
    model: str = Field(examples=["qwen-image"])
    size: str = Field(examples=["1024x1024"])
    output_format: ImageFormat
    background: Literal["opaque"] = "opaque"
    params: ImageParams
    data: list[ImageData]
    timings: Timings = Field(
        description="Of the request: phases summed over its images, `total_seconds` from its arrival to its answer."
    )
    warnings: list[str] = Field(
        description="What of the request was not done as written, such as fields that nobody knows.",
        examples=[["unknown field 'sedd' has no effect"]],
    )


class ImagePartial(BaseModel):
    """Of a stream: what an image is going to look like, in its size and format."""

    type: Literal["image_generation.partial_image"] = "image_generation.partial_image"
    b64_json: str
    created_at: int
    size: str
    quality: Literal["auto"] = "auto"
    output_format: ImageFormat
    background: Literal["opaque"] = "opaque"
    partial_image_index: int
    """of this image, from 0"""
    index: int | None = None
    """which of several images, from 0"""


class ImageCompleted(BaseModel):
    """Of a stream: an image."""

    type: Literal["image_generation.completed"] = "image_generation.completed"
    b64_json: str | None = None
    url: str | None = None
    created_at: int
    size: str
    output_format: ImageFormat
    background: Literal["opaque"] = "opaque"
    seed: int
