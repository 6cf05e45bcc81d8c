"""What an MP4 file says of its video."""

import io
from dataclasses import dataclass

import av


class UnreadableVideo(Exception):
    """The file has no video that can be read."""


@dataclass(frozen=True)
class VideoFacts:
    """Of the first video in a file."""

    width: int
    """pixels"""
    height: int
    num_frames: int
    fps: float
    """frames per second, on average"""

    @classmethod
    def of(cls, content: bytes) -> "VideoFacts":
        """Raises UnreadableVideo."""
        try:
            with av.open(io.BytesIO(content), "r") as container:
                (stream, *_) = container.streams.video
                # Where the file does not say how many there are, they are counted, undecoded.
                frames = stream.frames or sum(packet.size > 0 for packet in container.demux(stream))
                rate = stream.average_rate
                if not (frames and rate):
                    raise UnreadableVideo("it has no frames")
                return cls(stream.width, stream.height, frames, float(rate))
        except (av.FFmpegError, ValueError) as error:
            raise UnreadableVideo(str(error)) from None
