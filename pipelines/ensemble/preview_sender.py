"""Sends previews of a job to its client, beside the steps that follow."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.denoise import Estimate
from pipelines.ensemble.background_sender import BackgroundSender
from pipelines.preview import draw_preview
from pipelines.unstoppable import until_done
from protocol.events import Preview
from runtime.latent_colours import LatentColours

Send = Callable[[Preview, NDArray[np.uint8]], Awaitable[None]]


@dataclass(frozen=True)
class PreviewSchedule:
    """Which steps a job shows; none, if nothing is said."""

    count: int = 0
    """of previews, at even distances between the first step and the end; all of them are sent"""
    interval_seconds: float = 0
    """between two at least; a slow client misses some"""

    def steps(self, of: int) -> frozenset[int]:
        """The steps that `count` asks for, from 1; each step where there are no more."""
        if of <= self.count:
            return frozenset(range(1, of + 1))
        return frozenset(number * of // (self.count + 1) for number in range(1, self.count + 1))


class PreviewSender:
    """Takes the estimate after every step, and sends one now and then. A fault of it costs no job its end.

    Args:
        steps: of the job.
        colours: of its VAE's latents.
        warn: told, once, why there are none.
    """

    def __init__(
        self, schedule: PreviewSchedule, steps: int, colours: LatentColours, send: Send, warn: Callable[[str], None]
    ) -> None:
        self._interval_seconds = schedule.interval_seconds
        self._shown = schedule.steps(steps)
        self._steps = steps
        self._colours = colours
        self._send = send
        self._sent_at: float | None = None
        self._sender = BackgroundSender(
            self._send_one, lambda reason: warn(f"no preview is made: {reason}"), max(1, schedule.count)
        )

    def offer(self, step: int, estimate: Estimate) -> None:
        """Take what a step estimates. Returns at once; nothing is computed unless it is shown."""
        now = time.monotonic()
        is_due = self._interval_seconds > 0 and (self._sent_at is None or now - self._sent_at >= self._interval_seconds)
        if is_due or step in self._shown:
            self._sent_at = now
            self._sender.put((step, estimate))

    async def finish(self) -> None:
        """Returns when all that were to be sent are sent."""
        await self._sender.finish()

    async def close(self) -> None:
        """Send no more. Returns when nothing is under way."""
        await self._sender.close()

    async def _send_one(self, shown: tuple[int, Estimate]) -> None:
        step, estimate = shown
        drawing = asyncio.get_running_loop().run_in_executor(None, lambda: draw_preview(estimate(), self._colours))
        await self._send(Preview(steps_done=step, steps=self._steps), await until_done(drawing))
