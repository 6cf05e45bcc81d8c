"""What the launcher knows of the processes behind this server; Triton calls a model ready whose process has died."""

import time
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

_STALE_SECONDS = 10.0
"""a launcher that lives touches its file every second"""
_MODEL = "model "


class Away(BaseModel):
    """One thing that cannot work now."""

    part: str
    """`tritonserver` or `model NAME`"""
    reason: str
    keeps_dying: bool = False
    """it is brought back only now and then: a job would wait for it in vain"""


class Coming(BaseModel):
    """A checkpoint that is not served yet, or whose new export is not."""

    model: str
    """its id, or the name of its folder as long as the id is not known"""
    stage: str
    """what is being done for it, or why it failed"""
    tasks: tuple[str, ...] = ()
    """what it will do, as far as that is known"""
    state: Literal["exporting", "loading", "failed"] = "exporting"

    @property
    def has_failed(self) -> bool:
        return self.state == "failed"

    def __str__(self) -> str:
        if self.has_failed:
            return f"{self.model} cannot be served: {self.stage}"
        return f"{self.state} {self.model} ({self.stage})"


class _Report(BaseModel):
    away: list[Away] = []
    coming: list[Coming] = []
    swapped: list[str] = []


class LauncherStatus:
    """Reads the launcher's file.

    Args:
        file: None where no launcher runs this server; then nothing is known to be away.
    """

    def __init__(self, file: Path | None) -> None:
        self._file = file

    def away(self) -> list[Away]:
        """Everything that is away. Not the frontend, which could not say so."""
        return [away for away in self._read().away if away.part != "the frontend"]

    def coming(self) -> list[Coming]:
        """Checkpoints that are being exported or loaded, and those for which that failed."""
        return self._read().coming

    def swapped(self) -> list[str]:
        """Triton models that are loaded when a job needs them, and may be unloaded now."""
        return self._read().swapped

    def _read(self) -> _Report:
        try:
            return _Report.model_validate_json(self._file.read_bytes()) if self._file else _Report()
        except (OSError, ValidationError):
            return _Report()

    def lost(self, models: Collection[str]) -> str | None:
        """Why a job that runs these Triton models would fail, if one of them or their server keeps dying."""
        needed = {"tritonserver", *(_MODEL + model for model in models)}
        reasons = [one for one in self.away() if one.keeps_dying and one.part in needed]
        return describe(reasons) if reasons else None

    def note(self) -> str | None:
        """A warning where the launcher itself seems to have stopped."""
        try:
            age = time.time() - self._file.stat().st_mtime if self._file else 0.0
        except OSError:
            return None
        if age < _STALE_SECONDS:
            return None
        return f"The launcher has said nothing for {age:.0f} s; what dies now is not brought back."


def describe(away: Collection[Away]) -> str:
    """One sentence; what names its part already does not name it twice."""
    return "; ".join(one.reason if one.part in one.reason else f"{one.part}: {one.reason}" for one in away)
