"""Jobs that outlive an outage of the engine."""

import asyncio
from collections.abc import Callable

import structlog

from frontend.errors import EngineUnavailable, ServerLost
from frontend.jobs.checkpoints import Checkpoints
from frontend.jobs.events import PartEvent, PartPreview
from frontend.jobs.record import RunRecord
from frontend.jobs.run import Runner
from frontend.jobs.runner import Tell
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import Output
from protocol.errors import ModelFailed
from protocol.events import Progress

MAX_LOSSES = 5
"""runs of one job that got no further than an earlier one, and in which a model failed, or the engine was lost after
the first step: it may be for the job"""
_OUTAGES = (EngineUnavailable, ModelFailed)
_log = structlog.get_logger(__name__)


class PatientRunner:
    """Runs a job on `runner` again when the engine is away or lost, unless somebody waits who is better told at once.

    Where another server can go on with it, it does at once, whoever waits.

    Args:
        is_awaited: whether a client waits for the job of this id.
        pause_seconds: before the first new try; each further pause is twice as long, up to `max_pause_seconds`.
    """

    def __init__(
        self,
        runner: Runner,
        is_awaited: Callable[[str], bool],
        *,
        pause_seconds: float = 0.1,
        max_pause_seconds: float = 5.0,
    ) -> None:
        self._runner = runner
        self._is_awaited = is_awaited
        self._pause_seconds = pause_seconds
        self._max_pause_seconds = max_pause_seconds

    async def run(self, spec: JobSpec, tell: Tell, record: RunRecord) -> list[tuple[bytes, Output]]:
        """See `JobRunner.run`."""
        losses, furthest = 0, 0
        pause = self._pause_seconds
        while True:
            ear = _Ear(tell, record.checkpoints)
            try:
                return await self._runner.run(spec, ear.hear, record)
            except _OUTAGES as error:
                moves = isinstance(error, ServerLost)
                loss = error.loss if isinstance(error, ServerLost) else error
                if ear.reached > furthest:
                    losses, furthest = 0, ear.reached
                losses += ear.heard_a_step or isinstance(loss, ModelFailed)
                if losses >= MAX_LOSSES or (self._is_awaited(spec.id) and not moves):
                    raise loss from loss.__cause__
                if moves:
                    _log.warning("a job moves to another server", job=spec.id, reason=error.message)
                    continue
                _log.warning("a job waits for the engine", job=spec.id, reason=error.message, seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._max_pause_seconds)


class _Ear:
    """Hears whether a run of a job has got on."""

    def __init__(self, tell: Tell, checkpoints: Checkpoints) -> None:
        self.heard_a_step = False
        self._tell = tell
        self._checkpoints = checkpoints
        self._first: dict[int, Progress] = {}
        self._latest: dict[int, Progress] = {}

    @property
    def reached(self) -> int:
        """Steps and frames that were done."""
        return sum(progress.steps_done + progress.frames_done for progress in self._latest.values())

    async def hear(self, event: PartEvent | PartPreview) -> None:
        if isinstance(event, PartEvent):
            self._latest[event.part] = event.progress
            self.heard_a_step = self.heard_a_step or not self._waits(event)
        await self._tell(event)

    def _waits(self, event: PartEvent) -> bool:
        """While a job waits it tells of no step, or of that of its checkpoint."""
        progress = event.progress
        first = self._first.setdefault(event.part, progress)
        if progress.steps_done == 0 or progress.queue_position is not None:
            return True
        is_of_checkpoint = (progress.steps_done, progress.frames_done) == (first.steps_done, first.frames_done)
        return event.part in self._checkpoints.loaded and is_of_checkpoint
