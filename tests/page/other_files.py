"""Files of other programs."""

import io

import numpy as np
from PIL import Image


def png(width: int = 96, height: int = 48) -> bytes:
    """A grey image, without parameters."""
    file = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), 200, np.uint8)).save(file, "PNG")
    return file.getvalue()
