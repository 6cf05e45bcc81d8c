"""Images as files: PNG, JPEG, WebP."""

import io
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

ImageFormat = Literal["png", "jpeg", "webp"]

PARAMETERS_KEYWORD = "tritonreel"
WEBP_MAX_SIDE = 16_383
"""pixels: its header has 14 bits for each side. The others take more than any model makes."""


@dataclass(frozen=True)
class ImageEncoder:
    """Writes images of one format. The files hold pixels, and of PNG the parameters where they are given: nothing else.

    Args:
        format: PNG keeps every pixel exactly; JPEG (4:4:4) and WebP lose what `quality` lets them.
        quality: 0 (smallest) to 100 (best); no matter for PNG.
    """

    format: ImageFormat = "png"
    quality: int = 100

    def encode(self, pixels: NDArray[np.uint8], parameters: str | None = None) -> bytes:
        """The file of an image, uint8 [height, width, RGB].

        Args:
            parameters: what it was made with, which a PNG says in an iTXt chunk `tritonreel`; the others do not.
        """
        options: dict[str, Any] = {} if self.format == "png" else {"quality": self.quality}
        if self.format == "png" and parameters is not None:
            options["pnginfo"] = PngInfo()
            options["pnginfo"].add_itxt(PARAMETERS_KEYWORD, parameters)
        if self.format == "jpeg":
            # Halved colour resolution shows as fringes on the flat colours and letters that these models draw.
            options["subsampling"] = "4:4:4"
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, self.format, **options)
        return file.getvalue()


def scaled_down(width: int, height: int, max_side: int) -> tuple[int, int]:
    """The size, or that of the same proportions whose longer side has `max_side` pixels, if that is smaller."""
    scale = min(1.0, max_side / max(width, height))
    return max(1, round(scale * width)), max(1, round(scale * height))


class SingleFrameEncoder:
    """An `ImageEncoder` with the interface of a `VideoEncoder`, for jobs of one frame."""

    def __init__(self, image: ImageEncoder, parameters: str | None = None) -> None:
        self.num_frames = 0
        self._parameters = parameters
        self._image = image
        self._pixels: NDArray[np.uint8] | None = None

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Take the frame, uint8 [1, height, width, RGB]. More are counted only."""
        if self._pixels is None and len(frames):
            self._pixels = frames[0]
        self.num_frames += len(frames)

    def finish(self) -> bytes:
        """The file. Raises ValueError where no frame was added."""
        if self._pixels is None:
            raise ValueError("an image without a frame")
        return self._image.encode(self._pixels, self._parameters)
