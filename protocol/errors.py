"""What can go wrong with a job, and how it is said over gRPC.

PipelineError
├── InvalidRequest    a field has a value that this model cannot do; `field` names it
├── ModelNotFound     no such model is served
├── QueueFull         too many jobs wait already
├── DeadlineExceeded  the job's time ran out before it was done
├── Cancelled         the client went away
└── ModelFailed       a Triton model could not be run
    └── ModelAway     ... because its process is not there

Triton's stream carries an error as one line of text, so each error has a text form that keeps its kind and
field: `queue_full: 32 jobs wait already` or `invalid_request[width]: must be a multiple of 16`.
"""

import re
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

    def to_text(self) -> str:
        """The one-line form, `code: message` or `code[field]: message`."""
        where = f"[{self.field}]" if self.field else ""
        return f"{self.code}{where}: {self.message}"

    @classmethod
    def from_text(cls, text: str) -> "PipelineError | None":
        """The error that `to_text` wrote, or None when the text is not of that form."""
        match = _TEXT.search(text)
        if match is None or match["code"] not in _BY_CODE:
            return None
        return _BY_CODE[match["code"]](match["message"], match["field"])


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


_BY_CODE: dict[str, type[PipelineError]] = {
    error.code: error for error in (InvalidRequest, ModelNotFound, QueueFull, DeadlineExceeded, Cancelled, ModelFailed)
}
_TEXT = re.compile(r"\b(?P<code>[a-z_]+)(?:\[(?P<field>\w+)\])?: (?P<message>.*)", re.DOTALL)
