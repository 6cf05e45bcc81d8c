"""Jobs that outlive an outage of the engine."""

import asyncio
from collections.abc import Callable

import structlog

from frontend.errors import EngineUnavailable
from frontend.jobs.events import PartEvent
from frontend.jobs.run import Runner
from frontend.jobs.runner import Tell
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import Output
from protocol.errors import ModelFailed, QueueFull

MAX_LOSSES = 5
"""runs of one job in which a model failed, or the engine was lost after the first step: it may be for the job"""
_OUTAGES = (EngineUnavailable, QueueFull, ModelFailed)
_log = structlog.get_logger(__name__)


class PatientRunner:
    """Runs a job on `runner` again when the engine is away or lost, unless somebody waits who is better told at once.

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

    async def run(self, spec: JobSpec, tell: Tell) -> list[tuple[bytes, Output]]:
        """See `JobRunner.run`."""
        losses = 0
        pause = self._pause_seconds
        while True:
            begun = False

            async def hear(event: PartEvent) -> None:
                nonlocal begun
                begun = begun or event.progress.steps_done > 0
                await tell(event)

            try:
                return await self._runner.run(spec, hear)
            except _OUTAGES as error:
                losses += begun or isinstance(error, ModelFailed)
                if self._is_awaited(spec.id) or losses >= MAX_LOSSES:
                    raise
                _log.warning("a job waits for the engine", job=spec.id, reason=error.message, seconds=pause)
            await asyncio.sleep(pause)
            pause = min(2 * pause, self._max_pause_seconds)
