import contextlib

import pytest

from frontend.errors import VideoNotFound
from frontend.recent_videos import RecentVideo, RecentVideos
from frontend.schemas.timings import Timings
from frontend.schemas.videos import Video
from protocol.sampling import VideoSampling

PARAMS = VideoSampling(num_inference_steps=3, guidance_scale=4, flow_shift=12, solver="unipc", lora=())


def recent(video_id: str, size: int = 10) -> RecentVideo:
    video = Video(
        **{"id": video_id, "prompt": "x", "seconds": "1", "model": "m", "size": "16x16", "num_frames": 1, "fps": 8},
        **{"params": PARAMS, "timings": Timings(**dict.fromkeys(Timings.model_fields, 0.0)), "warnings": []},
        **{"created_at": 0, "completed_at": 0, "expires_at": 0},
    )
    return RecentVideo(video, b"x" * size)


def kept(videos: RecentVideos, ids: str) -> str:
    """Those of the one-letter `ids` that are there."""
    there = ""
    for video_id in ids:
        with contextlib.suppress(VideoNotFound):
            there += videos.get(video_id).video.id
    return there


def test_the_newest_that_fit_are_kept() -> None:
    videos = RecentVideos(max_bytes=25, max_age_seconds=60)
    for video_id in "abcd":
        videos.add(recent(video_id))
    assert kept(videos, "abcd") == "cd"
    videos.add(recent("e", 20))
    assert kept(videos, "cde") == "e"


@pytest.mark.parametrize("max_bytes", [0, 9])
def test_one_that_does_not_fit_alone_is_not_kept(max_bytes: int) -> None:
    videos = RecentVideos(max_bytes, max_age_seconds=60)
    videos.add(recent("a"))
    assert kept(videos, "a") == ""


def test_they_are_kept_for_a_while() -> None:
    now = 0.0
    videos = RecentVideos(max_bytes=100, max_age_seconds=60, clock=lambda: now)
    videos.add(recent("a"))
    now = 50.0
    videos.add(recent("b"))
    now = 60.0
    assert kept(videos, "ab") == "ab"
    now = 60.1
    assert kept(videos, "ab") == "b"
    now = 200.0
    assert kept(videos, "ab") == ""


def test_an_unknown_one_is_named_shortly() -> None:
    with pytest.raises(VideoNotFound) as error:
        RecentVideos(max_bytes=100, max_age_seconds=60).get("x" * 1000)
    assert error.value.field == "video_id"
    assert len(error.value.message) < 150
