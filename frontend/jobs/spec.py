"""What a job is to make, with nothing left open."""

import base64
import io
import uuid
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from frontend.jobs.hosted_spec import HostedSpec
from frontend.jobs.product import Product
from frontend.media.image_encoder import ImageEncoder
from frontend.providers.hosted_model import Operation
from protocol.model_card import Task
from protocol.sampling import AnySpec
from tracing.spans import Carrier


def _read_image(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(value))))


def _write_image(pixels: NDArray[np.uint8] | None) -> str | None:
    """PNG, which keeps every pixel exactly."""
    return None if pixels is None else base64.b64encode(ImageEncoder("png").encode(pixels)).decode()


JobTask = Task | Operation
Pixels = Annotated[NDArray[np.uint8] | None, PlainValidator(_read_image), PlainSerializer(_write_image)]


class JobSpec(BaseModel):
    """The videos or images of one request. `model_dump_json` and `model_validate_json` keep all of it."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    id: str
    """`video_...` or `image_...`"""
    product: Product
    model: str
    samples: tuple[AnySpec | HostedSpec, ...] = Field(min_length=1)
    """what each video or image is made with; they differ in their seeds only"""
    image: Pixels = None
    """what they start from: uint8 [height, width, RGB] of their size; None where they start from a text alone"""
    warnings: tuple[str, ...] = ()
    """what of the request was not done as written"""
    request_id: str
    created_at: float
    """unix time of the request"""
    detached: bool = False
    """whether its client does not wait: that it leaves means nothing then"""
    trace: Carrier = {}
    """the span of the request, of which all runs of the job are parts"""
    remixed_from: str | None = None
    """id of the video that it varies"""

    extends: str | None = None
    """id of the video whose frames come before those that are made; the first of these is its last, and left out"""
    extended_frames: int = 0
    """how many it has"""
    partial_images: int = 0
    """previews of each image that the client wants to see meanwhile"""

    @property
    def is_hosted(self) -> bool:
        """Whether a hosted provider makes it."""
        return isinstance(self.samples[0], HostedSpec)

    @property
    def price(self) -> float:
        """US dollars, by the provider's table of prices; 0 for what is made here."""
        return sum(sample.price for sample in self.samples if isinstance(sample, HostedSpec))

    @property
    def num_frames(self) -> int:
        """Of each finished video or image."""
        return self.samples[0].num_frames + (self.extended_frames - 1 if self.extends else 0)

    @property
    def prompt(self) -> str:
        return self.samples[0].prompt

    def task(self, *, has_image: bool) -> JobTask:
        """What is done.

        Args:
            has_image: whether it starts from an image, which `image` alone does not say of a stored job.
        """
        first = self.samples[0]
        if isinstance(first, HostedSpec):
            return first.operation
        if self.product.kind == "image":
            return "text-to-image"
        if self.extends is not None:
            return "video-extension"
        return "image-to-video" if has_image else "text-to-video"

    def sampling_of(self, part: int) -> AnySpec:
        """What `generate` makes the video or image number `part`, from 0, with; its image too."""
        sample = self.samples[part]
        assert not isinstance(sample, HostedSpec)
        return sample.model_copy(update={"image": self.image})

    def request_id_of(self, part: int) -> str:
        """What the generator calls it: a lone one has the id of its request, several have it numbered from 0."""
        return self.request_id if len(self.samples) == 1 else f"{self.request_id}-{part}"

    def starting_from(self, image: NDArray[np.uint8]) -> "JobSpec":
        """The same videos, from `image`: uint8 [height, width, RGB] of their size."""
        return self.model_copy(update={"image": image})


def new_job_id(kind: str) -> str:
    """An id that nobody can guess, of a job that makes `kind`."""
    return f"{kind}_{uuid.uuid4().hex}"
