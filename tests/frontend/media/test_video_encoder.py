import io
from fractions import Fraction

import av
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from frontend.media.video_encoder import VideoEncoder


def encode(frames: NDArray[np.uint8], fps: Fraction = Fraction(16), chunk: int = 4) -> bytes:
    encoder = VideoEncoder(frames.shape[2], frames.shape[1], fps)
    for first in range(0, len(frames), chunk):
        encoder.add(frames[first : first + chunk])
    return encoder.finish()


def decode(mp4: bytes) -> tuple[av.VideoStream, NDArray[np.uint8]]:
    with av.open(io.BytesIO(mp4), "r") as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        return container.streams.video[0], np.stack(frames)


def ramp(num_frames: int, height: int = 48, width: int = 64) -> NDArray[np.uint8]:
    """Grey frames, each brighter than the one before."""
    grey = np.linspace(20, 235, num_frames).astype(np.uint8)
    return np.broadcast_to(grey[:, None, None, None], (num_frames, height, width, 3))


@pytest.mark.parametrize("num_frames", [1, 5, 9, 81])
def test_every_frame_arrives_in_order(num_frames: int) -> None:
    frames = ramp(num_frames)
    stream, decoded = decode(encode(frames))
    assert stream.frames == num_frames
    assert decoded.shape == frames.shape
    assert np.abs(decoded.astype(int) - frames).max() <= 4


@pytest.mark.parametrize("size", [(16, 16), (832, 480), (64, 1024)])
def test_the_size_is_kept(size: tuple[int, int]) -> None:
    width, height = size
    stream, _ = decode(encode(ramp(5, height, width)))
    assert (stream.width, stream.height) == size


@pytest.mark.parametrize("fps", [Fraction(1), Fraction(16), Fraction(2997, 125), Fraction(24000, 1001), Fraction(120)])
@pytest.mark.parametrize("num_frames", [1, 9])
def test_the_rate_and_the_length_are_exact(fps: Fraction, num_frames: int) -> None:
    stream, _ = decode(encode(ramp(num_frames), fps))
    assert stream.average_rate == fps
    assert stream.duration is not None
    assert stream.time_base is not None
    assert stream.duration * stream.time_base == num_frames / fps


def test_browsers_can_play_it_while_it_loads() -> None:
    mp4 = encode(ramp(9))
    stream, _ = decode(mp4)
    assert stream.codec_context.name == "h264"
    assert stream.codec_context.pix_fmt == "yuv420p"
    assert 0 < mp4.index(b"moov") < mp4.index(b"mdat")


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (12, 200, 90)])
def test_colours_are_kept_and_tagged(colour: tuple[int, int, int]) -> None:
    stream, _ = decode(mp4 := encode(np.full((5, 64, 64, 3), colour, np.uint8)))
    assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)  # BT.709, 16..235
    with av.open(io.BytesIO(mp4), "r") as container:
        frame = next(container.decode(video=0)).reformat(format="rgb24", src_colorspace="ITU709")
    assert np.abs(frame.to_ndarray().astype(int) - colour).max() <= 6


def test_frames_of_another_size_are_refused() -> None:
    encoder = VideoEncoder(64, 48, Fraction(8))
    with pytest.raises(ValueError, match="48, 64"):
        encoder.add(np.zeros((1, 64, 48, 3), np.uint8))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video() -> None:
    """Raw, 400 frames more would be 369 MB."""
    encoder = VideoEncoder(640, 480, Fraction(16))
    chunk = ramp(4, 480, 640)
    for _ in range(30):  # x264 looks some frames ahead
        encoder.add(chunk)
    before = psutil.Process().memory_info().rss
    for _ in range(100):
        encoder.add(chunk)
    grown = psutil.Process().memory_info().rss - before
    assert grown < 20e6
