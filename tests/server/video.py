"""What a client gets to see of an MP4."""

import base64
import io

import av
import numpy as np


class Video:
    """A decoded MP4."""

    def __init__(self, b64_json: str) -> None:
        self.bytes = base64.b64decode(b64_json)
        with av.open(io.BytesIO(self.bytes), "r") as container:
            stream = container.streams.video[0]
            self.rate = stream.average_rate
            self.codec = stream.codec_context.name
            self.frames = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(stream)])
            """uint8 [frames, height, width, 3]"""
