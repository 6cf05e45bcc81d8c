"""What kind of file a job makes; the only thing in which jobs for videos and for images differ."""

from fractions import Fraction
from typing import Annotated, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from frontend.media.image_encoder import ImageEncoder, ImageFormat, SingleFrameEncoder
from frontend.media.video_encoder import VideoEncoder

Rate = Annotated[Fraction, BeforeValidator(Fraction), PlainSerializer(str)]
"""exact; "2997/125" in JSON"""


class Encoder(Protocol):
    """Turns the frames of one video or image into a file. One call at a time."""

    @property
    def num_frames(self) -> int:
        """Those added until now."""
        ...

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Take the next `frames`, uint8 [frames, height, width, RGB] of the size that was announced."""
        ...

    def finish(self) -> bytes:
        """The whole file. Nothing can be added afterwards."""
        ...


class VideoProduct(BaseModel):
    """MP4 files."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["video"] = "video"
    fps: Rate
    """frames per second"""

    @property
    def media_type(self) -> str:
        return "video/mp4"

    @property
    def suffix(self) -> str:
        return "mp4"

    def encoder(self, width: int, height: int, parameters: str) -> Encoder:
        """For one video, `width` and `height` in pixels, whose file says that it was made with `parameters`."""
        return VideoEncoder(width, height, self.fps, parameters)


class ImageProduct(BaseModel):
    """Image files of one format."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["image"] = "image"
    format: ImageFormat = "png"
    quality: int = 100
    """see `ImageEncoder`"""

    @property
    def media_type(self) -> str:
        return f"image/{self.format}"

    @property
    def suffix(self) -> str:
        return self.format

    def encoder(self, width: int, height: int, parameters: str) -> Encoder:
        """For one image, whatever its size. A PNG says that it was made with `parameters`."""
        return SingleFrameEncoder(ImageEncoder(self.format, self.quality), parameters)


Product = Annotated[VideoProduct | ImageProduct, Field(discriminator="kind")]
