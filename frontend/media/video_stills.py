"""Images of finished videos: single frames, a thumbnail, a sprite sheet. They read MP4 files that this server made."""

from collections.abc import Iterator, Sequence
from math import ceil
from typing import IO

import av
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

from frontend.media.image_encoder import ImageEncoder, scaled_down

SHEET_TILES = 16
"""of a sprite sheet, at most: frames at equal distances, the first and the last among them"""
THUMBNAIL_SIDE = 320
"""pixels that a thumbnail's longer side has at most"""
_COLUMNS = 4
_TILE_SIDE = 320
"""pixels that a tile's longer side has at most"""
QUALITY = 90
"""of thumbnails and sprite sheets"""


def frames_of(file: IO[bytes]) -> Iterator[NDArray[np.uint8]]:
    """All frames of a video, each uint8 [height, width, RGB]."""
    with av.open(file, "r") as container:
        for frame in container.decode(video=0):
            yield _pixels(frame, frame.width, frame.height)


def frames_at(file: IO[bytes], wanted: Sequence[int], max_side: int | None = None) -> list[NDArray[np.uint8]]:
    """The frames of a video at ascending positions, each uint8 [height, width, RGB]; one after the last is left out.

    Args:
        max_side: pixels; larger frames are scaled down.
    """
    frames = []
    positions = set(wanted)
    with av.open(file, "r") as container:
        for position, frame in enumerate(container.decode(video=0)):
            if position in positions:
                size = (frame.width, frame.height)
                frames.append(_pixels(frame, *(size if max_side is None else scaled_down(*size, max_side))))
            if position >= wanted[-1]:
                break
    return frames


def _pixels(frame: av.VideoFrame, width: int, height: int) -> NDArray[np.uint8]:
    rgb = frame.reformat(width, height, format="rgb24", src_colorspace=Colorspace.ITU709)
    return rgb.to_ndarray().astype(np.uint8, copy=False)


def thumbnail(file: IO[bytes], num_frames: int) -> bytes:
    """A small WebP of the frame in the middle."""
    return ImageEncoder("webp", QUALITY).encode(frames_at(file, [num_frames // 2], THUMBNAIL_SIDE)[0])


def spritesheet(file: IO[bytes], num_frames: int) -> bytes:
    """A JPEG of up to 16 frames at equal distances, in rows of four."""
    tiles = min(SHEET_TILES, num_frames)
    wanted = [round(tile * (num_frames - 1) / max(1, tiles - 1)) for tile in range(tiles)]
    frames = frames_at(file, wanted, _TILE_SIDE)
    height, width, _ = frames[0].shape
    rows = ceil(len(frames) / _COLUMNS)
    sheet = np.zeros((rows * height, min(_COLUMNS, len(frames)) * width, 3), np.uint8)
    for tile, frame in enumerate(frames):
        top, left = tile // _COLUMNS * height, tile % _COLUMNS * width
        sheet[top : top + height, left : left + width] = frame
    return ImageEncoder("jpeg", QUALITY).encode(sheet)
