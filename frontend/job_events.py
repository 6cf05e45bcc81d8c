"""From what happens to a job to the server-sent events that say it."""

import asyncio
import base64
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from frontend.error_rules import rule_of_code
from frontend.http.sse import ServerSentEvent
from frontend.jobs.events import Ended, PartEvent, PartPreview, Queued, Recorded
from frontend.jobs.events import JobEvent as Heard
from frontend.jobs.state import Job, JobError, fraction_done
from frontend.media.preview import PreviewFile, preview_webp
from frontend.schemas.errors import ErrorDetail
from frontend.schemas.job_events import JobEvent, JobPreview, StateEvent, VideoEvent, VideoPreview
from protocol.events import Progress


@dataclass(frozen=True)
class Naming:
    """What a stream calls its events."""

    state: type[VideoEvent] | type[JobEvent]
    preview: type[VideoPreview] | type[JobPreview]
    prefix: str


OF_VIDEO = Naming(VideoEvent, VideoPreview, "video.")
OF_JOB = Naming(JobEvent, JobPreview, "job.")

_files: WeakKeyDictionary[PartPreview, asyncio.Task[PreviewFile]] = WeakKeyDictionary()
"""of previews: encoded once, however many clients listen"""


async def progress_events(
    job: Job, events: AsyncGenerator[Heard, None], heard: str | None = None, naming: Naming = OF_VIDEO
) -> AsyncGenerator[ServerSentEvent, None]:
    """An event for each change of `job`, the present state first; the last one is its end.

    An event's id says all that it tells of the state, so that any process knows what a client has heard. A preview has
    none: it tells nothing of the state, and the latest is told again to a client that comes back.

    Args:
        events: of the job, see `JobService.listen`; closed at the end.
        heard: id of the last event that the client knows: it is not repeated.
        naming: what the events are called.
    """
    telling = _Telling(job, naming)
    async with aclosing(events):
        async for event in events:
            if isinstance(event, PartPreview):
                yield await _preview_event(job, event, naming)
                continue
            told = telling.of(event)
            if told is None:
                continue
            event_id = _id_of(told)
            if event_id != heard:
                yield ServerSentEvent(told.type, told.model_dump_json(exclude_none=True), event_id)
            heard = event_id


def is_end(event_id: str | None) -> bool:
    """Whether a client that has heard this event has heard the last one."""
    return event_id is not None and event_id.split(":")[0] in ("completed", "failed", "cancelled")


async def _preview_event(job: Job, event: PartPreview, naming: Naming) -> ServerSentEvent:
    preview, sampling = event.preview, job.spec.samples[event.part]
    if event not in _files:
        encoding = asyncio.to_thread(preview_webp, preview.pixels, sampling.width, sampling.height)
        _files[event] = asyncio.create_task(encoding)
    file = await asyncio.shield(_files[event])  # which others may wait for too
    told = naming.preview(
        id=job.spec.id,
        index=event.part,
        step=preview.steps_done,
        steps=preview.steps,
        width=file.width,
        height=file.height,
        b64_json=base64.b64encode(file.content).decode(),
    )
    return ServerSentEvent(told.type, told.model_dump_json())


class _Telling:
    """What is known of a job, as its events come."""

    def __init__(self, job: Job, naming: Naming) -> None:
        self._job = job
        self._naming = naming
        self._progress: dict[int, Progress] = {}
        self._percent = job.state.progress

    def of(self, event: Heard) -> StateEvent | None:
        """What to say of an event; None for what changes nothing."""
        match event:
            case Queued():
                return self._event("queued") if self._job.state.status == "queued" else None
            case Recorded(job, queue_position):
                self._percent = max(self._percent, job.state.progress)
                return self._event(job.state.status, queue_position=queue_position)
            case Ended(job):
                self._percent = job.state.progress
                error = _detail(job.state.error) if job.state.error else None
                return self._event(job.state.status, error=error)
            case PartEvent(part, progress, seconds_left):
                return self._of_part(part, progress, seconds_left)
        return None

    def _of_part(self, part: int, progress: Progress, seconds_left: float | None) -> StateEvent:
        self._progress[part] = progress
        parts = len(self._job.spec.samples)
        percent = int(100 * fraction_done(self._progress.values(), parts))
        self._percent = min(99, max(self._percent, percent))
        begun = self._percent > 0 or any(
            one.steps_done or one.queue_position is None for one in self._progress.values()
        )
        return self._event(
            "in_progress" if begun else "queued",
            queue_position=progress.queue_position,
            index=part if parts > 1 else None,
            step=progress.steps_done,
            steps=progress.steps,
            frames_done=progress.frames_done,
            frames=progress.frames,
            seconds_left=None if seconds_left is None else round(seconds_left, 1),
        )

    def _event(self, status: str, **fields: object) -> StateEvent:
        return self._naming.state.model_validate(
            {"type": self._naming.prefix + status, "id": self._job.spec.id, "progress": self._percent, **fields}
        )


def _detail(error: JobError) -> ErrorDetail:
    rule = rule_of_code(error.code)
    return ErrorDetail(message=error.message, type=rule.type, param=error.field, code=error.code)


def _id_of(event: StateEvent) -> str:
    status = event.type.partition(".")[2]
    numbers = (event.progress, event.queue_position, event.index, event.step, event.frames_done)
    return ":".join([status, *("" if number is None else str(number) for number in numbers)])
