"""What is away now and what is to come, and why: the launcher writes it, and the frontend's /health says it."""

import json
import logging
import os
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from threading import Lock
from typing import Literal

logger = logging.getLogger(__name__)

_TOUCH_SECONDS = 1.0


@dataclass(frozen=True)
class Away:
    """One thing that cannot work now."""

    part: str
    """`tritonserver` or `model NAME`"""
    reason: str
    keeps_dying: bool = False
    """it is brought back only now and then"""


@dataclass(frozen=True)
class Coming:
    """A checkpoint that is not served yet."""

    model: str
    """its id, or the name of its folder as long as the id is not known"""
    stage: str
    """what is being done for it, or why it failed"""
    tasks: tuple[str, ...] = ()
    """what it will do, as far as that is known"""
    state: Literal["exporting", "loading", "failed"] = "exporting"


class StatusFile:
    """`status.json` in the run folder. Thread-safe.

    It is touched every second even where nothing changes, so that its age tells whether the launcher itself lives.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = Lock()
        self._observed: dict[str, Away] = {}
        self._scheduled: dict[str, Away] = {}
        self._coming: dict[str, list[Coming]] = {}
        self._swapped: list[str] = []
        self._written: str | None = None
        self._touched = 0.0

    def observe(self, reasons: Mapping[str, str], swapped: Collection[str] = ()) -> None:
        """Replace what is seen to be away, part -> reason, and the models that come and go, away or not."""
        with self._lock:
            self._swapped = sorted(swapped)
            self._observed = {part: Away(part, reason) for part, reason in reasons.items()}
            self._write()

    def schedule(self, part: str, reason: str, keeps_dying: bool) -> None:
        """`part` has died and is to be brought back; its reason goes before what is observed."""
        with self._lock:
            self._scheduled[part] = Away(part, reason, keeps_dying)
            self._write()

    def back(self, part: str) -> None:
        with self._lock:
            self._scheduled.pop(part, None)
            self._write()

    def coming(self, source: str, checkpoints: Sequence[Coming]) -> None:
        """Replace what `source` says of checkpoints that are not served yet."""
        with self._lock:
            self._coming[source] = list(checkpoints)
            self._write()

    def remove(self) -> None:
        self.file.unlink(missing_ok=True)

    def _write(self) -> None:
        away = self._observed | self._scheduled
        coming = [asdict(one) for source in sorted(self._coming) for one in self._coming[source]]
        content = {"away": [asdict(away[part]) for part in sorted(away)], "coming": coming, "swapped": self._swapped}
        text = json.dumps(content)
        partial = self.file.with_suffix(".part")
        try:
            if text == self._written:
                if time.monotonic() - self._touched >= _TOUCH_SECONDS:
                    os.utime(self.file)
                    self._touched = time.monotonic()
                return
            partial.write_text(text)
            partial.replace(self.file)
            self._written = text
        except OSError as error:  # a full disk must not end a server that works
            if self._written is not None:
                logger.error("cannot write %s, so /health may know less than it should: %s", self.file, error)
            self._written = None
