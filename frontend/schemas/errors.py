"""The body of every error."""

from typing import Literal

from pydantic import BaseModel, Field

ErrorType = Literal["invalid_request_error", "rate_limit_error", "server_error"]


class ErrorDetail(BaseModel):
    message: str = Field(description="What is wrong and what is allowed.", examples=["n must be at most 10, got 11"])
    type: ErrorType = Field(
        description="`invalid_request_error`: change the request; `rate_limit_error`: send it again later; "
        "`server_error`: it was not your fault."
    )
    param: str | None = Field(None, description="The request field that it is about.", examples=["n"])
    code: str = Field(description="A stable name of the case.", examples=["invalid_value"])


class ErrorBody(BaseModel):
    """OpenAI's error envelope."""

    error: ErrorDetail
