"""The finished videos of the last while, in memory."""

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from frontend.errors import VideoNotFound
from frontend.schemas.videos import Video
from protocol.printable import quoted


@dataclass(frozen=True)
class RecentVideo:
    """A video object and its first clip."""

    video: Video
    mp4: bytes


class RecentVideos:
    """Keeps the newest that fit into `max_bytes` of MP4, each for `max_age_seconds` at most."""

    def __init__(self, max_bytes: int, max_age_seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.max_age_seconds = max_age_seconds
        self._max_bytes = max_bytes
        self._clock = clock
        self._kept: OrderedDict[str, tuple[float, RecentVideo]] = OrderedDict()
        """by id, the oldest first, with the time at which each came"""
        self._bytes = 0

    def add(self, recent: RecentVideo) -> None:
        self._kept[recent.video.id] = self._clock(), recent
        self._bytes += len(recent.mp4)
        self._drop_old()

    def get(self, video_id: str) -> RecentVideo:
        """Raises VideoNotFound."""
        self._drop_old()
        if video_id not in self._kept:
            raise VideoNotFound(f"there is no video {quoted(video_id, 100)}, or no longer", "video_id")
        return self._kept[video_id][1]

    def _drop_old(self) -> None:
        while self._kept:
            added, oldest = next(iter(self._kept.values()))
            if self._bytes <= self._max_bytes and self._clock() - added <= self.max_age_seconds:
                return
            self._kept.popitem(last=False)
            self._bytes -= len(oldest.mp4)
