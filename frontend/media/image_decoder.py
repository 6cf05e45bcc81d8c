"""Decodes the images that clients send, a few at a time, in processes that can be given up."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from typing import ParamSpec, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from frontend.errors import InvalidImage
from frontend.media.image_header import ImageError
from frontend.media.image_process import ImageProcess, ImageProcessDied
from frontend.media.reference_image import FIELD, ReferenceImage

_log = structlog.get_logger(__name__)

_AT_ONCE = 2
_LARGE_PIXELS = 16_000_000
"""one of these at a time: it may take a gigabyte"""
_ANSWER_SECONDS = 2.0
"""for a process that waits for its next image to say that it is there"""
_START_SECONDS = 30.0
_STARTS = 2

P = ParamSpec("P")
T = TypeVar("T")


class ImageDecoder:
    """At most two processes, started when they are needed and kept; one that dies or hangs is replaced.

    Args:
        timeout_seconds: how long the decoding of one image may take.
    """

    def __init__(self, timeout_seconds: float = 30) -> None:
        self._timeout_seconds = timeout_seconds
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._large = asyncio.Lock()
        self._idle: list[ImageProcess] = []
        self._busy: set[ImageProcess] = set()
        # Threads of its own: those of the event loop may all be waiting for something else.
        self._threads = ThreadPoolExecutor(2 * _AT_ONCE, "image-decoder")

    @property
    def pids(self) -> list[int]:
        """Of the processes that there are."""
        return [process.pid for process in (*self._idle, *self._busy)]

    async def fit(self, image: ReferenceImage, width: int, height: int) -> NDArray[np.uint8]:
        """The pixels, uint8 [height, width, RGB]: upright, scaled to cover the size, and cropped about the centre.

        Transparent parts become white. Colour profiles are ignored, as in diffusers' `load_image`. If it is cancelled,
        decoding ends at once.

        Raises:
            InvalidImage: the file is damaged, cannot be decoded, or takes too long.
        """
        async with AsyncExitStack() as turn:
            if image.width * image.height > _LARGE_PIXELS:
                await turn.enter_async_context(self._large)
            await turn.enter_async_context(self._slots)
            try:
                pixels = await self._decode(image.file, width, height)
            except ImageError as error:
                raise InvalidImage(error.message, FIELD) from None
        return np.frombuffer(pixels, np.uint8).reshape(height, width, 3)

    async def close(self) -> None:
        """End all processes. Images that are being decoded fail."""
        processes = [*self._idle, *self._busy]
        self._idle.clear()
        for process in processes:
            process.kill()
        for process in processes:
            await self._in_thread(process.cleanup)
        self._threads.shutdown(wait=False)

    async def _decode(self, file: bytes, width: int, height: int) -> bytes:
        process = await self._prepared(len(file), width, height)
        try:
            async with asyncio.timeout(self._timeout_seconds):
                pixels = await self._in_thread(process.fit, file, width, height)
        except ImageError:
            self._keep(process)
            raise
        except TimeoutError:
            self._discard(process)
            _log.warning("decoding an image took too long", seconds=self._timeout_seconds)
            raise ImageError(f"the image could not be decoded within {self._timeout_seconds:g} s") from None
        except ImageProcessDied as error:
            self._discard(process)
            _log.warning("a process that decoded an image died", reason=str(error))
            raise ImageError("the image could not be decoded") from None
        except BaseException:
            self._discard(process)
            raise
        self._keep(process)
        return pixels

    async def _prepared(self, length: int, width: int, height: int) -> ImageProcess:
        """A process that waits for the file, a new one if there is none. Raises RuntimeError if none starts."""
        while self._idle:
            process = self._idle.pop()
            if await self._answers(process, length, width, height, _ANSWER_SECONDS):
                return process
        for _ in range(_STARTS):
            process = ImageProcess()
            if await self._answers(process, length, width, height, _START_SECONDS):
                return process
        raise RuntimeError("the process that decodes images does not start")

    async def _answers(self, process: ImageProcess, length: int, width: int, height: int, timeout: float) -> bool:
        self._busy.add(process)
        try:
            await self._in_thread(process.prepare, length, width, height, timeout)
        except ImageProcessDied:
            self._discard(process)
            return False
        except BaseException:
            self._discard(process)
            raise
        return True

    def _keep(self, process: ImageProcess) -> None:
        self._busy.discard(process)
        self._idle.append(process)

    def _discard(self, process: ImageProcess) -> None:
        self._busy.discard(process)
        process.kill()
        with suppress(RuntimeError):  # after `close`, which does it
            self._threads.submit(process.cleanup)

    async def _in_thread(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, lambda: function(*args, **kwargs))
