"""What `generate` says: each response has one event, as JSON in its output `event`.

Progress   how far a job is; its response may have decoded `frames` beside it
Checkpoint part of what a job can go on from; its response has the bytes in its output `checkpoint`
Preview    what it is going to look like; its response has the pixels in its output `preview`
Done       the job's report, the last of its events
Failed     why it ended early instead
Models, Loras, Refreshed   the answers to the tasks `describe`, `loras` and `refresh`
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

from protocol.errors import BY_CODE, PipelineError
from protocol.lora import LoraInfo
from protocol.model_card import ModelCard
from protocol.printable import LONGEST, printable
from protocol.sampling import AnySpec

LONGEST_MESSAGE = 4_000
"""characters of an error's text, which may hold what Triton says of a model"""


class _Event(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def to_json(self) -> str:
        """One line, which `read_event` reads."""
        return self.model_dump_json(exclude_none=True)


class Progress(_Event):
    """How far a job is."""

    type: Literal["progress"] = "progress"
    steps_done: int
    steps: int
    frames_done: int
    frames: int
    queue_position: int | None = None
    """jobs before it; None of one that does not wait"""

    @property
    def is_complete(self) -> bool:
        return self.frames_done == self.frames


class Checkpoint(_Event):
    """A part of a checkpoint, from which an equal request goes on. Parts come in order; progress may come between."""

    type: Literal["checkpoint"] = "checkpoint"
    steps_done: int
    start: int
    """bytes of the checkpoint before this part"""
    bytes: int
    """of the whole checkpoint"""


class Preview(_Event):
    """What a video or image is going to look like, as a step estimates it."""

    type: Literal["preview"] = "preview"
    steps_done: int
    steps: int


class JobTimings(BaseModel):
    """Seconds that a job spent, by phase."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    queue_seconds: float
    text_seconds: float
    image_seconds: float = 0.0
    denoise_seconds: float
    decode_seconds: float
    total_seconds: float


class Done(_Event):
    """The report of a job that succeeded: what was really used, and how long it took."""

    type: Literal["done"] = "done"
    model: str
    spec: AnySpec
    timings: JobTimings
    warnings: tuple[str, ...] = ()
    """what of the request was not done as written"""


class Failed(_Event):
    """The error that ended a request."""

    type: Literal["failed"] = "failed"
    code: str
    """one of `protocol.errors`"""
    message: str
    field: str | None = None

    @classmethod
    def of(cls, error: PipelineError) -> "Failed":
        """The error, fit for terminals and not too long."""
        field = None if error.field is None else printable(error.field, LONGEST)
        return cls(code=error.code, message=printable(error.message, LONGEST_MESSAGE), field=field)

    def error(self) -> PipelineError:
        """The error that it was made of; one of an unknown code is a plain `PipelineError`."""
        return BY_CODE.get(self.code, PipelineError)(self.message, self.field)


class Models(_Event):
    """What is served."""

    type: Literal["models"] = "models"
    models: tuple[ModelCard, ...]

    def to_json(self) -> str:
        """None is said too: in a card's defaults it is not the same as nothing."""
        return self.model_dump_json()


class Loras(_Event):
    """The adapters that jobs can use."""

    type: Literal["loras"] = "loras"
    loras: tuple[LoraInfo, ...]


class Refreshed(_Event):
    """The answer to the task `refresh`: `generate` has read again what it is to serve (`protocol.served`)."""

    type: Literal["refreshed"] = "refreshed"
    served: tuple[str, ...]
    """folders of the checkpoints that take jobs now"""
    busy: tuple[str, ...] = ()
    """folders of those that take no more, and still have jobs"""
    failed: dict[str, str] = {}
    """folder -> why the checkpoint cannot be served"""


Event = Progress | Checkpoint | Preview | Done | Failed | Models | Loras | Refreshed
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="type")])


def read_event(text: str | bytes) -> Event:
    """The event of a response. Raises ValueError when it is none of the above."""
    return _EVENT.validate_json(text)
