"""What can go wrong with a job. Over gRPC it is the event `protocol.events.Failed`.

PipelineError
├── InvalidRequest    a field has a value that this model cannot do; `field` names it
├── ModelNotFound     no such model is served
├── QueueFull         too many jobs wait already
├── DeadlineExceeded  the job's time ran out before it was done
├── Cancelled         the client went away
└── ModelFailed       a Triton model could not be run
    └── ModelAway     ... because its process is not there
"""

from typing import ClassVar


class PipelineError(Exception):
    """Base of every error that a job can end with.

    Args:
        message: a sentence for the person who made the request.
        field: the request field that it is about, if one is.
    """

    code: ClassVar[str] = "internal"

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field

    @property
    def log_line(self) -> str:
        """For people who read logs: `code: message`, or `code[field]: message`."""
        where = f"[{self.field}]" if self.field else ""
        return f"{self.code}{where}: {self.message}"


class InvalidRequest(PipelineError):
    code = "invalid_request"


class ModelNotFound(PipelineError):
    code = "model_not_found"


class QueueFull(PipelineError):
    code = "queue_full"


class DeadlineExceeded(PipelineError):
    code = "deadline_exceeded"


class Cancelled(PipelineError):
    code = "cancelled"


class ModelFailed(PipelineError):
    code = "model_failed"


class ModelAway(ModelFailed):
    """The model's process is not there; to a client the same as its parent."""


BY_CODE: dict[str, type[PipelineError]] = {
    error.code: error for error in (InvalidRequest, ModelNotFound, QueueFull, DeadlineExceeded, Cancelled, ModelFailed)
}
