"""Sends checkpoints of a job to its client, beside the steps that follow."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import numpy as np
from numpy.typing import NDArray

from pipelines.checkpoint import write_checkpoint
from pipelines.ensemble.background_sender import BackgroundSender
from pipelines.solver_state import SolverState
from pipelines.unstoppable import until_done
from protocol.events import Checkpoint

PART_BYTES = 4 * 2**20
"""so that no response needs much more shared memory than one of frames, and progress is told in between"""

Send = Callable[[Checkpoint, NDArray[np.uint8]], Awaitable[None]]


class CheckpointSender:
    """Takes the state after every step, and sends one now and then. A fault of it costs no job its end.

    Args:
        identity: gives that of the job, see `write_checkpoint`; called in a thread, where a checkpoint is made.
        steps: of the job.
        interval_seconds: between two checkpoints at least; one more is made of the last step. None at all if 0.
        max_bytes: greater ones are not made.
        warn: told, once, why there are none.
    """

    def __init__(
        self,
        identity: Callable[[], str],
        steps: int,
        interval_seconds: float,
        max_bytes: int,
        send: Send,
        warn: Callable[[str], None],
    ) -> None:
        self._identity = identity
        self._steps = steps
        self._interval_seconds = interval_seconds
        self._max_bytes = max_bytes
        self._send = send
        self._sent_at: float | None = None
        self._has_sent = False
        # a slow client gets the newest when it has taken the last
        self._sender = BackgroundSender(self._send_one, lambda reason: warn(f"no checkpoint is made: {reason}"))

    def offer(self, state: SolverState) -> None:
        """Take the state after a step, or before the first one that is taken. Returns at once."""
        now = time.monotonic()
        if self._sent_at is None:
            self._sent_at = now
            return
        is_last = state.steps_done == self._steps and self._has_sent
        is_due = self._interval_seconds > 0 and now - self._sent_at >= self._interval_seconds
        if self._sender.has_failed or not (is_due or is_last):
            return
        if state.bytes > self._max_bytes:
            self._sender.fail(f"it would have {state.bytes:,} bytes, and max_checkpoint_mib allows {self._max_bytes:,}")
            return
        self._sent_at, self._has_sent = now, True
        self._sender.put(state)

    async def close(self) -> None:
        """Send no more. Returns when nothing is under way."""
        await self._sender.close()

    async def _send_one(self, state: SolverState) -> None:
        writing = asyncio.get_running_loop().run_in_executor(None, self._write, state)
        written = await until_done(writing)
        content = np.frombuffer(written, np.uint8)
        for start in range(0, len(content), PART_BYTES):
            event = Checkpoint(steps_done=state.steps_done, start=start, bytes=len(content))
            await self._send(event, content[start : start + PART_BYTES])

    def _write(self, state: SolverState) -> bytes:
        return write_checkpoint(state, self._identity())
