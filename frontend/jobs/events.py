"""What whoever listens to a job hears, and how it gets there."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable
from dataclasses import dataclass

from frontend.generators.generator import Preview
from frontend.jobs.state import Job
from protocol.events import Progress

MAX_BACKLOG = 16
"""events that wait for a slow listener; of more, the oldest preview is dropped, or else the oldest event"""


@dataclass(frozen=True)
class Queued:
    """The job was submitted."""


@dataclass(frozen=True)
class PartEvent:
    """How far one of the job's videos or images is."""

    part: int
    """which, counted from 0"""
    progress: Progress
    seconds_left: float | None = None
    """until the whole job is done, if it goes on as it did"""


@dataclass(frozen=True, eq=False)
class PartPreview:
    """What one of the job's videos or images is going to look like. Only who asks for previews hears it."""

    part: int
    preview: Preview


@dataclass(frozen=True)
class Recorded:
    """How far a job is that does not run here."""

    job: Job
    queue_position: int | None
    """jobs before it; None of one that runs elsewhere"""


@dataclass(frozen=True)
class Ended:
    """The last event: `job.state` says whether it is completed, failed or cancelled, and why."""

    job: Job


@dataclass(frozen=True)
class Interrupted:
    """The last event here: the job goes on later, or in another process."""


JobEvent = Queued | PartEvent | PartPreview | Recorded | Ended | Interrupted


class Broadcast:
    """Tells the events of one job to its listeners, and to late ones first how far it is."""

    def __init__(self) -> None:
        self._listeners: set[_Backlog] = set()
        self._so_far: dict[tuple[type[JobEvent], int] | None, JobEvent] = {}
        """the latest progress and preview of each part, and under None the event that says what state the job is in"""

    def publish(self, event: JobEvent) -> None:
        match event:
            case Queued():
                self._so_far[None] = event
            case PartEvent(part) | PartPreview(part):
                self._so_far[type(event), part] = event
            case Ended() | Interrupted():
                self._so_far = {None: event}
        for listener in self._listeners:
            listener.put(event)

    async def listen(self, *, previews: bool = False) -> AsyncGenerator[JobEvent, None]:
        """The events from now on; `Ended` or `Interrupted` is the last. A slow listener misses some of the others.

        Args:
            previews: whether they are among them.
        """
        backlog = _Backlog(self._so_far.values(), previews)
        self._listeners.add(backlog)
        try:
            ended = False
            while not ended:
                event = await backlog.get()
                ended = isinstance(event, Ended | Interrupted)
                yield event
        finally:
            self._listeners.discard(backlog)


class _Backlog:
    """Events that a listener has not taken yet."""

    def __init__(self, events: Iterable[JobEvent], previews: bool) -> None:
        self._takes_previews = previews
        self._events: deque[JobEvent] = deque()
        self._filled = asyncio.Event()
        for event in events:
            self.put(event)

    def put(self, event: JobEvent) -> None:
        if isinstance(event, PartPreview) and not self._takes_previews:
            return
        self._events.append(event)
        if len(self._events) > MAX_BACKLOG:
            dropped = next((one for one in self._events if isinstance(one, PartPreview)), self._events[0])
            self._events.remove(dropped)
        self._filled.set()

    async def get(self) -> JobEvent:
        while not self._events:
            self._filled.clear()
            await self._filled.wait()
        return self._events.popleft()
