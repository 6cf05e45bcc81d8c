"""How far a job is, on stderr: a bar and previews in a terminal, a line for each change of its status elsewhere."""

import base64
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Self

from cli.following import Event
from cli.terminal_images import PreviewArea, protocol_of
from protocol.printable import printable


class ProgressLines:
    """A line for each status. A context manager, like `ProgressBar`.

    Args:
        job_id: what the lines begin with.
    """

    previews = False

    def __init__(self, job_id: str) -> None:
        self._job_id = printable(job_id)
        self._status = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def show(self, event: Event) -> None:
        if event.status not in (self._status, "preview"):
            self._status = event.status
            print(f"{self._job_id}: {printable(self._status).replace('_', ' ')}", file=sys.stderr)  # noqa: T201


class ProgressBar:
    """A bar that is gone when the context is left; the last preview stays.

    Args:
        previews: whether to show them, where the terminal can.
    """

    def __init__(self, *, previews: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=Console(file=sys.stderr, highlight=False, markup=False),
            transient=True,
            redirect_stdout=False,  # what is written while it is there is written by this module
            redirect_stderr=False,
        )
        protocol = protocol_of(os.environ) if previews else None
        self._area = None if protocol is None else PreviewArea(sys.stderr, protocol)

    @property
    def previews(self) -> bool:
        """Whether they can be shown."""
        return self._area is not None

    def __enter__(self) -> Self:
        self._task = self._bar.add_task("asking the server", total=100, left="")
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        if event.b64_json is not None:
            if self._area is not None and not event.index:  # of the first of several
                with suppress(ValueError):  # what is no base64 is no preview
                    self._area.show(base64.b64decode(event.b64_json), self._without_bar)
            return
        self._bar.update(self._task, completed=event.progress, description=_doing(event), left=_left(event))

    def _without_bar(self, write: Callable[[], None]) -> None:
        self._bar.stop()
        write()
        self._bar.start()


def progress_of(job_id: str, *, previews: bool) -> ProgressBar | ProgressLines:
    """As stderr can show it."""
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        return ProgressBar(previews=previews)
    return ProgressLines(job_id)


def _doing(event: Event) -> str:
    which = "" if event.index is None else f"number {event.index + 1}, "
    if event.status == "queued":
        waits = event.queue_position
        return "waiting" if not waits else f"waiting for {waits} job{'s' if waits > 1 else ''}"
    if event.frames_done and event.frames and event.frames > 1:
        return f"{which}frame {event.frames_done} of {event.frames}"
    if event.steps:
        return f"{which}step {event.step or 0} of {event.steps}"
    return printable(event.status).replace("_", " ")


def _left(event: Event) -> str:
    if event.seconds_left is None:
        return ""
    minutes, seconds = divmod(round(event.seconds_left), 60)
    return f"{minutes} min {seconds:02} s left" if minutes else f"{seconds} s left"
