"""Image files to test with, whole ones and others, made by code."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from frontend.media.pixels import fitted_pixels
from frontend.media.reference_image import ReferenceImage

MAX_PIXELS = 10_000
UPLOAD_BYTES = 32 * 1024 * 1024
NOISE = np.random.default_rng(0).integers(0, 256, (24, 40, 3), dtype=np.uint8)


def file_of(image: Image.Image, format_name: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format_name, **options)
    return buffer.getvalue()


def photo(width: int, height: int) -> Image.Image:
    """Waves with some noise on them: every coefficient of a JPEG has something to say."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([128 + 100 * np.sin(x / 17 + y / 31), 128 + 90 * np.cos(y / 9), (x * y / 50) % 256], -1)
    noise = np.random.default_rng(1).normal(0, 8, waves.shape)
    return Image.fromarray((waves + noise).clip(0, 255).astype(np.uint8))


def decoded(file: bytes) -> NDArray[np.uint8]:
    """The image at its own size, as the server and its decoding process make it. Raises InvalidImage, ImageError."""
    image = ReferenceImage.open(file, MAX_PIXELS)
    return fitted(file, image.width, image.height)


def fitted(file: bytes, width: int, height: int) -> NDArray[np.uint8]:
    return np.frombuffer(fitted_pixels(file, width, height), np.uint8).reshape(height, width, 3)


# PNG


def png_chunk(kind: bytes, data: bytes = b"") -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_header(width: int = 8, height: int = 8, depth: int = 8, colour: int = 2, interlaced: bool = False) -> bytes:
    return png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))


def png_of(*chunks: bytes) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def black(width: int = 8, height: int = 8, samples: int = 3) -> bytes:
    """The rows of a PNG with 8 bits per sample, compressed."""
    return zlib.compress(b"\0" * height * (1 + width * samples))


IDAT, IEND = png_chunk(b"IDAT", black()), png_chunk(b"IEND")


# JPEG


def jpeg_segment(marker: int, data: bytes = b"") -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def jpeg_parts(file: bytes) -> list[bytes]:
    """The segments of a JPEG, each scan with the pixels that follow it; without SOI, which is no segment, and EOI."""
    parts = []
    position = 2
    while file[position + 1] != 0xD9:
        end = position + 2 + int.from_bytes(file[position + 2 : position + 4], "big")
        if file[position + 1] == 0xDA:
            while file[end] != 0xFF or file[end + 1] in (0, *range(0xD0, 0xD8)):
                end += 1
        parts.append(file[position:end])
        position = end
    return parts


def jpeg_of(*parts: bytes) -> bytes:
    return b"\xff\xd8" + b"".join(parts) + b"\xff\xd9"


# WebP


def riff_chunk(kind: bytes, data: bytes = b"") -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def webp_of(*chunks: bytes) -> bytes:
    return riff_chunk(b"RIFF", b"WEBP" + b"".join(chunks))


def webp_chunks(file: bytes) -> list[bytes]:
    chunks = []
    position = 12
    while position < len(file):
        length = int.from_bytes(file[position + 4 : position + 8], "little")
        chunks.append(file[position : position + 8 + length + length % 2])
        position += len(chunks[-1])
    return chunks
