"""A job of a server, as far as commands look at it."""

from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict

Kind = Literal["video", "image"]
ENDS = frozenset({"completed", "failed", "cancelled"})
"""statuses of a job that goes no further"""


class JobFile(BaseModel):
    """A video or an image that is done."""

    index: int
    url: str
    media_type: str
    seed: int | None = None


class JobError(BaseModel):
    """Why there is none."""

    message: str
    code: str
    param: str | None = None


class JobFields(BaseModel):
    """Fields of a later release do not matter."""

    model_config = ConfigDict(extra="ignore")

    id: str
    kind: Kind
    status: str
    progress: int = 0
    model: str | None = None
    prompt: str = ""
    size: str | None = None
    n: int = 1
    num_frames: int | None = None
    fps: float | None = None
    created_at: int = 0
    error: JobError | None = None
    files: list[JobFile] = []
    warnings: list[str] = []


@dataclass(frozen=True)
class Job:
    """A job, and the object that the server calls it."""

    fields: JobFields
    object: dict[str, Any]

    @classmethod
    def of(cls, answer: dict[str, Any]) -> Self:
        """Raises ValueError when it is none."""
        return cls(JobFields.model_validate(answer), answer)

    @property
    def id(self) -> str:
        return self.fields.id

    @property
    def has_ended(self) -> bool:
        return self.fields.status in ENDS

    @property
    def outline(self) -> str:
        """What is made, in a line."""
        fields = self.fields
        parts = [fields.size or ""]
        if fields.kind == "video" and fields.num_frames:
            parts.append(f"{fields.num_frames} frames" + (f" at {fields.fps:g} fps" if fields.fps else ""))
        return ", ".join(part for part in (*parts, fields.model) if part)
