"""The errors that the routes which make clips and pictures document."""

from typing import Any

from frontend.schemas.errors import ErrorBody

GENERATION_ERRORS: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorBody, "description": "A body that cannot be read, or something that the model cannot do."},
    404: {"model": ErrorBody, "description": "No such model; the message names those served."},
    413: {"model": ErrorBody, "description": "The body is too large."},
    415: {"model": ErrorBody, "description": "The Content-Type is not one that this route reads."},
    422: {"model": ErrorBody, "description": "A field is missing, has the wrong type, or is out of bounds."},
    429: {"model": ErrorBody, "description": "The queue is full; see Retry-After."},
    500: {"model": ErrorBody, "description": "A fault of ours; the message has the request's id."},
    503: {"model": ErrorBody, "description": "Triton or a model is away, or died during the job; see Retry-After."},
    504: {"model": ErrorBody, "description": "The job was not done in its time."},
}
