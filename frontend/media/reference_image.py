"""The image that a video starts from: what its header says, and what size that asks for."""

from dataclasses import dataclass
from math import sqrt

from frontend.errors import InvalidImage
from frontend.media.image_file import read_header
from frontend.media.image_header import ImageError
from protocol.model_card import ModelCard

FIELD = "input_reference"
OTHER_FIELDS = frozenset({"image", "input_image", "reference_image", "image_file", "file"})
"""names under which clients of other servers upload it"""
_SIDEWAYS = frozenset({5, 6, 7, 8})


@dataclass(frozen=True)
class ReferenceImage:
    """A PNG, JPEG or WebP file whose header has been read; its pixels have not been decoded yet."""

    file: bytes
    width: int
    """pixels, of the upright image"""
    height: int

    @classmethod
    def open(cls, file: bytes, max_pixels: int, field: str = FIELD) -> "ReferenceImage":
        """Read the header; no pixel is decoded. What kind of file it is, its first bytes say.

        Args:
            field: of the request, for errors.

        Raises:
            InvalidImage: it is none of the three, its header is broken, it is an animation, or it has more than
                `max_pixels` pixels.
        """
        if not file:
            raise InvalidImage("the file is empty", field)
        try:
            header = read_header(file)
        except ImageError as error:
            raise InvalidImage(error.message, field) from None
        if header.width * header.height > max_pixels:
            raise InvalidImage(f"must have at most {max_pixels:,} pixels", field)
        if header.animated:
            raise InvalidImage("must be a still image, this one is animated", field)
        if header.orientation in _SIDEWAYS:
            return cls(file, header.height, header.width)
        return cls(file, header.width, header.height)

    def size_for(self, card: ModelCard, width: int | None, height: int | None) -> tuple[int, int]:
        """The video's width and height where the request leaves them open: the image's aspect.

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
        """The fraction of the image that is cut off to fill the size."""
        aspects = self.width / self.height, width / height
        return 1 - min(aspects) / max(aspects)
