"""Decodes an image file and fits it to a size. Runs in a process of its own, and needs nothing but Pillow."""

import io
from collections.abc import Callable

from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from frontend.media import jpeg
from frontend.media.image_file import Format, checked, format_of, read_header
from frontend.media.image_header import DamagedImage, ImageError, UnsupportedImage

# Pillow's own `Image.open` would look at more formats, and at each of them again.
_DECODERS: dict[Format, Callable[[io.BytesIO], Image.Image]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "WEBP": WebPImageFile,
}
# Where a JPEG is damaged, its decoder comes to the last pixel too late or too early. Some cameras add some bytes.
_MAX_JPEG_BYTES_LEFT = 64 + len(jpeg.PAST_THE_END)
_LAST_BYTES = 1 << 16
_LAST_PIECE_BYTES = 16
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


def fitted_pixels(file: bytes, width: int, height: int) -> bytes:
    """The pixels, uint8 [height, width, RGB]: upright, scaled to cover the size, and cropped about the centre.

    Transparent parts become white. Colour profiles are ignored, as in diffusers' `load_image`.

    Raises:
        ImageError: the file is refused, or cannot be decoded.
    """
    try:
        image = _decoded(file)
        orientation = read_header(file).orientation
        if orientation in _UPRIGHT:
            image = image.transpose(_UPRIGHT[orientation])
        return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS).tobytes()
    except ImageError:
        raise
    except MemoryError:
        raise UnsupportedImage("the image needs too much memory, save it again or make it smaller") from None
    except Exception as error:  # Pillow fails in many ways, wherever it has got to
        raise DamagedImage(f"Pillow: {error!r}") from error


def _decoded(file: bytes) -> Image.Image:
    """Red, green and blue with 8 bits each; with at most one copy of a large image beside it at any time."""
    kind = format_of(file)
    source = _Metered(checked(file)) if kind == "JPEG" else io.BytesIO(checked(file))
    image = _DECODERS[kind](source)
    image.load()
    if isinstance(source, _Metered) and source.left > _MAX_JPEG_BYTES_LEFT:
        raise DamagedImage("there are more coded pixels than its size says")
    if image.mode.startswith("I"):
        return _grey_of_16_bits(image)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    if image.mode != "RGBA":
        image = image.convert("RGBA")
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=image)
    return white


class _Metered(io.BytesIO):
    """Gives its last bytes away in small pieces, so that its position says how many of them were needed."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self._size = len(content)

    @property
    def left(self) -> int:
        """How many were not."""
        return self._size - self.tell()

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or size < ImageFile.MAXBLOCK:  # of a segment; pixels are read by the block
            return super().read(size)
        return super().read(min(size, max(self.left - _LAST_BYTES, _LAST_PIECE_BYTES)))


def _grey_of_16_bits(image: Image.Image) -> Image.Image:
    """Scaled to 8 bits, which Pillow would clip."""
    values = [value // 257 for value in range(1 << 16)]
    if "transparency" in image.info:
        values[image.info["transparency"]] = 255
    return image.convert("I").point(values, "L").convert("RGB")
