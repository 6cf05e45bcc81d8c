"""Submit, poll, download: a video of a hosted provider, paid for once."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import structlog

from frontend.providers.errors import InvalidAnswer, LinkExpired, ProviderDeadline, ProviderError
from frontend.providers.provider import Addressed, Pending, Prediction, Provider, Ready

T = TypeVar("T")
Request = TypeVar("Request", bound=Addressed)
Tell = Callable[[float, str], Awaitable[None]]
"""per cent, and what is being done"""
Keep = Callable[[Prediction | None], Awaitable[None]]
"""writes down that a job is about to be sent (None), and then which it is; on its return that is safe"""

SUBMITTING, POLLING, POLLED, DOWNLOADING, DONE = 10.0, 20.0, 80.0, 90.0, 100.0
"""per cent"""
_LAST_SECONDS = 5.0
"""that a job which is stopped waits for its provider"""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0
_log = structlog.get_logger(__name__)


async def _always() -> bool:
    return True


@dataclass(frozen=True)
class HostedVideo(Generic[Request]):
    """What came of a request."""

    content: bytes
    """MP4"""
    request: Request
    prediction: Prediction
    ready: Ready


@dataclass(frozen=True)
class Engine(Generic[Request]):
    """Makes videos on `provider`."""

    provider: Provider[Request]
    deadline_seconds: float = 600.0
    """from the submission to the last byte, whatever happens meanwhile"""
    poll_seconds: float | None = None
    """between two polls; the provider's if None"""
    max_bytes: int = 2**30
    """of a video"""

    async def run(
        self,
        request: Request,
        tell: Tell,
        keep: Keep,
        resume: Prediction | None = None,
        cancels: Callable[[], Awaitable[bool]] = _always,
    ) -> HostedVideo[Request]:
        """One video. While a provider says that waiting helps, it is asked again until the deadline.

        Args:
            resume: a job that was sent before this process began: it is fetched, not sent again.
            cancels: whether the job is to be stopped at the provider too when this is cancelled.

        Raises:
            ProviderError: see the tree in `frontend.providers.errors`; with the job's id once it has one.
        """
        work = _Work(self, request, tell, keep, resume)
        try:
            async with asyncio.timeout(work.seconds_left):
                return await work.run()
        except TimeoutError:
            await work.stop()
            raise work.too_late() from None
        except ProviderError as error:
            if work.prediction is not None:
                error.prediction_id = work.prediction.id
            raise
        except BaseException:  # cancelled, or `tell` or `keep` has failed
            if await cancels():
                await work.stop()
            raise


class _Work(Generic[Request]):
    """One video."""

    def __init__(
        self, engine: Engine[Request], request: Request, tell: Tell, keep: Keep, prediction: Prediction | None
    ) -> None:
        self.prediction = prediction
        self._engine = engine
        self._provider = engine.provider
        self._request = request
        self._tell = tell
        self._keep = keep
        self._began = time.time() if prediction is None else prediction.submitted_at

    @property
    def seconds_left(self) -> float:
        return self._began + self._engine.deadline_seconds - time.time()

    async def run(self) -> HostedVideo[Request]:
        name = self._provider.name
        if self.prediction is None:
            await self._tell(SUBMITTING, f"Submitting to {self._request.addressee}")
            await self._keep(None)
            await self._insist(lambda: _to_its_end(self._submit()))
            assert self.prediction is not None
        prediction = self.prediction
        await self._tell(POLLING, f"{name} has taken the job {prediction.id}")
        ready = await self._wait(prediction)
        await self._tell(DOWNLOADING, "Downloading the video")
        content, ready = await self._fetch(prediction, ready)
        await self._tell(DONE, "The video is done")
        return HostedVideo(content, self._request, prediction, ready)

    async def stop(self) -> None:
        """Stop the job at the provider, if there is one."""
        if self.prediction is None:
            return
        with suppress(ProviderError, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._provider.cancel(self.prediction)

    def too_late(self) -> ProviderDeadline:
        name, seconds = self._provider.name, self._engine.deadline_seconds
        if self.prediction is None:
            return ProviderDeadline(f"{name} did not take the job within {seconds:g} s")
        job = self.prediction.id
        return ProviderDeadline(f"{name} did not finish the job {job} within {seconds:g} s", prediction_id=job)

    async def _submit(self) -> None:
        self.prediction = await self._provider.submit(self._request)
        await self._keep(self.prediction)

    async def _wait(self, prediction: Prediction) -> Ready:
        pause = self._engine.poll_seconds or self._provider.poll_seconds
        while True:
            state = await self._insist(lambda: self._provider.poll(prediction))
            if isinstance(state, Ready):
                return state
            await self._tell(self._percent(state), f"{self._provider.name}: {state.status}")
            await asyncio.sleep(pause * random.uniform(0.9, 1.1))

    def _percent(self, state: Pending) -> float:
        """As the provider tells, or as much of the time is over."""
        done = 1 - self.seconds_left / self._engine.deadline_seconds if state.percent is None else state.percent / 100
        return POLLING + (POLLED - POLLING) * min(1.0, max(0.0, done))

    async def _fetch(self, prediction: Prediction, ready: Ready) -> tuple[bytes, Ready]:
        """The video, from a URL that is told anew if the first one has expired."""
        try:
            return await self._insist(lambda: self._download(ready)), ready
        except LinkExpired as expired:
            _log.warning("a video is asked for anew", provider=self._provider.name, reason=expired.message)
        fresh = await self._wait(prediction)
        return await self._insist(lambda: self._download(fresh)), fresh

    async def _download(self, ready: Ready) -> bytes:
        content = await self._provider.fetch(ready, self._engine.max_bytes)
        if content[4:8] != b"ftyp":
            what = "something that is no MP4 video" if content else "an empty video"
            raise InvalidAnswer(f"{self._provider.name} sent {what}")
        return content

    async def _insist(self, ask: Callable[[], Awaitable[T]]) -> T:
        """Ask again while that helps, at growing intervals."""
        pause = _FIRST_PAUSE
        while True:
            try:
                return await ask()
            except ProviderError as error:
                if not error.waiting_helps:
                    raise
                seconds = pause * random.uniform(0.5, 1.0) if error.retry_after is None else error.retry_after
                name, reason = self._provider.name, error.message
            _log.warning("a provider is asked again", provider=name, reason=reason, seconds=round(seconds, 1))
            await asyncio.sleep(seconds)
            pause = min(2 * pause, _LONGEST_PAUSE)


async def _to_its_end(submission: Coroutine[Any, Any, T]) -> T:
    """Have a job that is being sent become known, also when this is cancelled: it is paid for."""
    task = asyncio.create_task(submission)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait((task,), timeout=_LAST_SECONDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise
