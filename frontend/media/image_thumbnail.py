"""Small versions of the images that this server has made."""

from typing import IO

import numpy as np
from PIL import Image

from frontend.media.image_encoder import ImageEncoder, scaled_down
from frontend.media.video_stills import QUALITY, THUMBNAIL_SIDE


def image_thumbnail(file: IO[bytes]) -> bytes:
    """A WebP of an image of ours."""
    with Image.open(file) as image:
        size = scaled_down(image.width, image.height, THUMBNAIL_SIDE)
        pixels = np.asarray(image.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    return ImageEncoder("webp", QUALITY).encode(pixels)
