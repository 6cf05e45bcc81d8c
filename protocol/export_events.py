"""What `python -m export --events` says of its progress, a line of JSON per event."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from protocol.model_card import Task


class ExportEvent(BaseModel):
    model_config = ConfigDict(frozen=True)

    kind: Literal["planned", "stage", "exported", "published", "unchanged", "failed"]
    """`stage` is what is being done now; `exported` is of one component, the others but `stage` are of a checkpoint"""
    folder: Path | None = None
    """of the checkpoint"""
    model: str | None = None
    """the id that the checkpoint is to be served under"""
    tasks: tuple[Task, ...] = ()
    message: str | None = None
    """the stage, the component, or why the export failed"""
