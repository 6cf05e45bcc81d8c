"""H.264 in MP4, frame by frame, in memory."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc
from numpy.typing import NDArray

_AVIO_FLAG_READ = 1
# Visually lossless; the preset keeps up with decoding on a few CPU cores.
_X264_OPTIONS = {"crf": "18", "preset": "fast"}


class VideoEncoder:
    """Turns frames into an MP4 that plays in browsers: yuv420p, BT.709, the index in front (faststart).

    Only the compressed video is kept, so memory does not grow with the raw frames. Not thread-safe: one call at a time.

    Args:
        width, height: pixels, even.
        fps: frames per second, exact.
        comment: what the file's metadata says under that name, without NUL.
    """

    def __init__(self, width: int, height: int, fps: Fraction, comment: str | None = None) -> None:
        self.num_frames = 0
        self._buffer = io.BytesIO()
        self._time_base = 1 / fps
        self._container = av.open(
            self._buffer, "w", format="mp4", options={"movflags": "faststart"}, io_open=self._reopen
        )
        if comment is not None:
            self._container.metadata["comment"] = comment
        self._stream = self._container.add_stream("libx264", rate=fps, options=_X264_OPTIONS)
        self._stream.width = width
        self._stream.height = height
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = self._time_base
        # Untagged video is BT.601 to some players and BT.709 to others, and its colours shift.
        context.colorspace = Colorspace.ITU709
        context.color_primaries = ColorPrimaries.BT709
        context.color_trc = ColorTrc.BT709
        context.color_range = ColorRange.MPEG

    def add(self, frames: NDArray[np.uint8]) -> None:
        """Encode `frames`, uint8 [frames, height, width, RGB].

        Raises:
            ValueError: the frames are not of the size that was announced.
        """
        expected = (self._stream.height, self._stream.width, 3)
        if frames.shape[1:] != expected:
            raise ValueError(f"frames of {frames.shape[1:]} in a video of {expected}")
        for pixels in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24").reformat(
                format="yuv420p", dst_colorspace=Colorspace.ITU709
            )
            frame.pts = self.num_frames
            frame.time_base = self._time_base
            self._mux(frame)
            self.num_frames += 1

    def finish(self) -> bytes:
        """The whole file. Nothing can be added afterwards."""
        self._mux(None)
        self._container.close()
        return self._buffer.getvalue()

    def _mux(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            packet.duration = 1  # in time_base; a lone frame has no successor to tell it from
            self._container.mux(packet)

    def _reopen(self, url: str, flags: int, options: dict[str, Any]) -> io.BytesIO:
        """For faststart: libav reads what it has written, to move it back and put the index in front."""
        return io.BytesIO(self._buffer.getvalue()) if flags == _AVIO_FLAG_READ else self._buffer
