"""The image that a clip starts from: read safely, and fitted to the clip's size."""

import io
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from frontend.errors import InvalidImage
from pipelines.model_card import ModelCard

FIELD = "input_reference"
_FORMATS = ("PNG", "JPEG", "WEBP")
_ORIENTATION_TAG = 0x0112
# EXIF 2.3, tag 274: what undoes each orientation.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})


@dataclass(frozen=True)
class ReferenceImage:
    """A PNG, JPEG or WebP file whose header has been read; its pixels have not been decoded yet."""

    file: bytes
    width: int
    """pixels, of the upright image"""
    height: int

    @classmethod
    def open(cls, file: bytes, max_pixels: int) -> "ReferenceImage":
        """Read the header. What kind of file it is, its first bytes say, neither its name nor its declared type.

        Raises:
            InvalidImage: it is none of the three, is broken, is an animation, or has more than `max_pixels` pixels.
        """
        if not file:
            raise InvalidImage("the file is empty", FIELD)
        try:
            with _open(file) as image:
                width, height = image.size
                # Cameras put previews into their JPEGs as further frames.
                animated = image.format != "MPO" and getattr(image, "n_frames", 1) > 1
                sideways = _orientation(image) in _SIDEWAYS
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise _too_large(max_pixels) from None
        except UnidentifiedImageError:
            raise InvalidImage("must be a PNG, JPEG or WebP image", FIELD) from None
        except Exception:  # a broken file fails in Pillow wherever its parsing has got to
            raise _broken() from None
        if width * height > max_pixels:
            raise _too_large(max_pixels)
        if animated:
            raise InvalidImage("must be a still image, this one is animated", FIELD)
        return cls(file, height, width) if sideways else cls(file, width, height)

    def size_for(self, card: ModelCard, width: int | None, height: int | None) -> tuple[int, int]:
        """The clip's width and height where the request leaves them open: the image's aspect.

        With one side given the other follows from it; with none, the area is the model's own, as in diffusers' examples
        for Wan. Sides are rounded down to the model's multiple and kept within its limits.
        """
        aspect = self.height / self.width
        area = card.defaults.width * card.defaults.height

        def rounded(side: float) -> int:
            multiple, largest = card.limits.size_multiple, card.limits.max_side
            return max(multiple, min(round(side), largest) // multiple * multiple)

        if width is None:
            width = rounded(sqrt(area / aspect) if height is None else height / aspect)
            height = rounded(sqrt(area * aspect)) if height is None else height
        elif height is None:
            height = rounded(width * aspect)
        return width, height

    def lost_by(self, width: int, height: int) -> float:
        """The fraction of the image that `fit` cuts off."""
        aspects = self.width / self.height, width / height
        return 1 - min(aspects) / max(aspects)

    def fit(self, width: int, height: int) -> NDArray[np.uint8]:
        """The pixels, uint8 [height, width, RGB]: upright, scaled to cover the size, and cropped about the centre.

        Transparent parts become white. Colour profiles are ignored, as in diffusers' `load_image`.

        Raises:
            InvalidImage: the file is truncated or broken.
        """
        try:
            with _open(self.file) as image:
                orientation = _orientation(image)
                upright = _to_rgb(image)
        except Exception:  # as in `open`
            raise _broken() from None
        if orientation in _UPRIGHT:
            upright = upright.transpose(_UPRIGHT[orientation])
        return np.asarray(ImageOps.fit(upright, (width, height), Image.Resampling.LANCZOS))


def _open(file: bytes) -> Image.Image:
    return Image.open(io.BytesIO(file), formats=_FORMATS)


def _orientation(image: Image.Image) -> int:
    """As EXIF has it; 1, upright, where it says nothing that can be read."""
    try:
        orientation = image.getexif().get(_ORIENTATION_TAG)
    except Exception:  # metadata, however broken, does not spoil the pixels
        return 1
    return orientation if orientation in _UPRIGHT else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    """Decode to 8 bits of red, green and blue."""
    image.load()
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip and not scale
        return Image.fromarray((np.asarray(image) // 257).astype(np.uint8)).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    pixels = image.convert("RGBA")
    white = Image.new("RGB", pixels.size, "white")
    white.paste(pixels, mask=pixels)
    return white


def _too_large(max_pixels: int) -> InvalidImage:
    return InvalidImage(f"must have at most {max_pixels:,} pixels", FIELD)


def _broken() -> InvalidImage:
    return InvalidImage("the image is truncated or broken", FIELD)
