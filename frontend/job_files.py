"""The files of completed jobs: what they made, and images of it that are made when they are first asked for."""

import asyncio
from collections.abc import Callable
from typing import IO

import numpy as np
from numpy.typing import NDArray

from frontend.errors import VideoFailed, VideoNotReady
from frontend.jobs.listing import Kind
from frontend.jobs.service import JobService
from frontend.jobs.state import Job
from frontend.media.image_thumbnail import image_thumbnail
from frontend.media.video_stills import frames_at, spritesheet, thumbnail
from frontend.storage.spooled_file import spooled
from frontend.storage.storage import FileName, Storage, StoredFile
from protocol.errors import InvalidRequest

VIDEO, IMAGE, THUMBNAIL, SPRITESHEET = "video", "image", "thumbnail", "spritesheet"
VARIANTS: dict[Kind, tuple[str, ...]] = {"video": (VIDEO, THUMBNAIL, SPRITESHEET), "image": (IMAGE, THUMBNAIL)}
"""of each kind of file; the first is the file itself"""
_STILLS: dict[tuple[Kind, str], tuple[Callable[[IO[bytes], int], bytes], str]] = {
    ("video", THUMBNAIL): (thumbnail, "image/webp"),
    ("video", SPRITESHEET): (spritesheet, "image/jpeg"),
    ("image", THUMBNAIL): (lambda file, _: image_thumbnail(file), "image/webp"),
}


class JobFiles:
    """Finds, and makes, files of jobs. One at a time is decoded for that."""

    def __init__(self, jobs: JobService, storage: Storage) -> None:
        self._jobs = jobs
        self._storage = storage
        self._decoding = asyncio.Lock()

    async def made(self, job: Job, index: int = 0) -> StoredFile:
        """What a job has made: its video or image number `index`, from 0.

        Raises:
            VideoNotReady, VideoFailed: it has made nothing, not yet or not at all.
            InvalidRequest: it has fewer.
            VideoNotFound: the file is gone.
            StorageError.
        """
        check_completed(job)
        if not 0 <= index < len(job.spec.samples):
            raise InvalidRequest(f"must be from 0 to {len(job.spec.samples) - 1}, got {index}", "index")
        return await self._jobs.file(job, index)

    async def variant(self, job: Job, variant: str, index: int = 0) -> StoredFile:
        """A video or image, or a still of it, which is kept from then on.

        Raises:
            InvalidRequest: it has no such variant. Otherwise as `made`.
        """
        kind = job.spec.product.kind
        if variant not in VARIANTS[kind]:
            *others, last = VARIANTS[kind]
            raise InvalidRequest(f"must be {', '.join(others)} or {last}", "variant")
        made = await self.made(job, index)
        if (kind, variant) not in _STILLS:
            return made
        name = FileName(job.spec.id, index, variant)
        async with self._decoding:
            if (still := await self._storage.head(name)) is not None:
                return still
            draw, media_type = _STILLS[kind, variant]
            async with spooled(self._storage, made) as file:
                content = await asyncio.to_thread(draw, file, job.num_frames)
            return await self._storage.put(name, content, media_type)

    async def first_frame(self, job: Job) -> NDArray[np.uint8]:
        """Of its first video: uint8 [height, width, RGB]. Raises as `made`."""
        return await self._frame(job, 0)

    async def last_frame(self, job: Job) -> NDArray[np.uint8]:
        """As `first_frame`."""
        return await self._frame(job, job.num_frames - 1)

    async def _frame(self, job: Job, position: int) -> NDArray[np.uint8]:
        async with self._decoding, spooled(self._storage, await self.made(job)) as file:
            return (await asyncio.to_thread(frames_at, file, [position]))[0]


def check_completed(job: Job) -> None:
    """Raises VideoNotReady, VideoFailed: the job has made nothing, not yet or not at all."""
    kind, status = job.spec.product.kind, job.state.status
    if status in ("queued", "in_progress"):
        raise VideoNotReady(f"the {kind} is not ready: its status is {status}, {job.state.progress} % are done")
    if status == "cancelled":
        raise VideoFailed(f"the {kind} was not made: its job was cancelled")
    if status == "failed":
        raise VideoFailed(f"the {kind} was not made: {job.state.error.message if job.state.error else 'it failed'}")
