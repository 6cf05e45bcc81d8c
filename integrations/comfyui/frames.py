"""Between files and ComfyUI's tensors: float32 [frames, height, width, 3], RGB from 0 to 1."""

import base64
import io

import av
import numpy as np
import torch
from PIL import Image


def frames_of_video(file: bytes) -> torch.Tensor:
    """All frames of an MP4: float32 [frames, height, width, 3]."""
    with av.open(io.BytesIO(file), "r") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return torch.from_numpy(np.stack(frames)).float() / 255


def rate_of_video(file: bytes) -> float:
    """Frames per second."""
    with av.open(io.BytesIO(file), "r") as container:
        rate = container.streams.video[0].average_rate
    return float(rate or 0)


def batch_of_images(files: list[bytes]) -> torch.Tensor:
    """Image files of one size: float32 [files, height, width, 3]."""
    images = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB")) for file in files]
    return torch.from_numpy(np.stack(images)).float() / 255


def data_uri_of_image(images: torch.Tensor) -> str:
    """The first of a batch, as a PNG.

    Args:
        images: float32 [batch, height, width, 3 or more].
    """
    pixels = (images[0, ..., :3].clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
    png = io.BytesIO()
    Image.fromarray(pixels).save(png, "PNG")
    return f"data:image/png;base64,{base64.b64encode(png.getvalue()).decode()}"
