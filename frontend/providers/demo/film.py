"""The videos that the demonstration servers make: a band that moves over a coloured ground."""

import hashlib
from fractions import Fraction
from functools import lru_cache

import numpy as np

from frontend.media.video_encoder import VideoEncoder

_FPS = 8
_LONGEST_SIDE = 160
"""pixels: nobody looks closely"""


@lru_cache(maxsize=16)
def film(prompt: str, seconds: int, width: int, height: int) -> bytes:
    """An MP4 of the wanted length and shape, whose colours come from the prompt."""
    scale = min(1.0, _LONGEST_SIDE / max(width, height))
    width, height = (max(16, int(side * scale) // 2 * 2) for side in (width, height))
    ground, band = np.frombuffer(hashlib.sha256(prompt.encode()).digest()[:6], np.uint8).reshape(2, 3)
    encoder = VideoEncoder(width, height, Fraction(_FPS))
    for number in range(seconds * _FPS):
        frame = np.broadcast_to(ground, (height, width, 3)).copy()
        left = number * width // (seconds * _FPS)
        frame[:, left : left + width // 8] = band
        encoder.add(frame[np.newaxis])
    return encoder.finish()
