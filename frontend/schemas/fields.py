"""What requests for videos and for images have in common: types, descriptions, and a memory for unknown fields."""

import re
from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from protocol.sampling import MAX_SIDE, Prompt

MAX_COUNT = 10
"""videos or images of one request"""
MAX_WORD = 256
"""characters of a field that names something"""
URL_DESCRIPTION = (
    "The file, for an hour or so (`TRITONREEL_URL_SECONDS`): whoever has this URL needs no API key. "
    "Ask for the video or job again to get a new one."
)
EXAMPLE_URL = "http://127.0.0.1:8000/v1/videos/video_5f0c/content?expires=1767229260&signature=Zm9v"
_SIZE = re.compile(r"([0-9]{1,5})x([0-9]{1,5})")


def parse_size(size: str) -> tuple[int, int]:
    """Width and height, pixels, of `WIDTHxHEIGHT`. Raises ValueError when it is not of that form."""
    match = _SIZE.fullmatch(size)
    if match is None:
        raise ValueError("a size is not of the form WIDTHxHEIGHT")
    return int(match[1]), int(match[2])


def is_none(value: object) -> bool:
    """For fields that a response leaves out where they have nothing to say."""
    return value is None


def _check_size(size: str) -> str:
    try:
        sides = parse_size(size)
    except ValueError:
        sides = (0, 0)
    if not all(1 <= side <= MAX_SIDE for side in sides):
        raise PydanticCustomError(
            "size", f'must be "WIDTHxHEIGHT" in pixels, each from 1 to {MAX_SIDE}, like "832x480"'
        )
    return size


Size = Annotated[str, AfterValidator(_check_size)]
Word = Annotated[str, Field(max_length=MAX_WORD)]
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]


class Fields(BaseModel):
    """Strict types: "5" is not 5 and true is not 1. Fields that nobody knows are kept, so that they can be named."""

    model_config = ConfigDict(strict=True, frozen=True, extra="allow")

    def given(self, names: Iterable[str]) -> dict[str, object]:
        """The fields of `names` that are not null."""
        return {name: value for name in names if (value := getattr(self, name)) is not None}

    def unknown_fields(self) -> list[str]:
        """Dotted names of the fields, in groups too, that nobody knows."""
        names = list(self.model_extra or ())
        for group in type(self).model_fields:
            fields = getattr(self, group)
            if isinstance(fields, Fields):
                names += [f"{group}.{name}" for name in fields.unknown_fields()]
        return names


class RequestFields(Prompt, Fields):
    """What to make, with which model, and how many. A field that is null counts as absent."""

    model: Word | None = Field(
        None,
        description="A served id, see `GET /v1/models`. If absent, the first served model that can do what is asked.",
    )
    n: Count | None = Field(None, description="How many to make, 1 if absent. They run at the same time.", examples=[1])
    size: Size | None = Field(
        None,
        description='"WIDTHxHEIGHT", multiples of the model\'s `size_multiple`. `width` and `height` override it.',
        examples=["832x480"],
    )
