"""What descriptions of jobs have in common, whatever they make."""

from pydantic import BaseModel, Field

from frontend.schemas.timings import Timings
from frontend.schemas.video_report import TIMINGS_DESCRIPTION


class RecordError(BaseModel):
    """Why a job failed, or that it was cancelled."""

    code: str = Field(description="As in the answer to a create that waits.", examples=["model_failed"])
    message: str = Field(description="A sentence.")
    param: str | None = Field(None, description="The request field that it is about.")


class Record(BaseModel):
    """A job in any state."""

    id: str = Field(examples=["video_5f0c6c7b1f0d4a0f9d5e6a7b8c9d0e1f"])
    progress: int = Field(ge=0, le=100, description="Per cent; 100 once it is completed.")
    prompt: str
    created_at: int = Field(description="Unix time of the request.", examples=[1767225600])
    completed_at: int | None = Field(description="Unix time at which it was completed.", examples=[1767225660])
    expires_at: int | None = Field(
        description="Unix time after which the server forgets it, once it has ended.", examples=[1767312060]
    )
    error: RecordError | None = Field(description="Why it failed, or that it was cancelled.")
    remixed_from_video_id: str | None = Field(description="The video that it varies.")
    timings: Timings | None = Field(description=f"Once it is completed. {TIMINGS_DESCRIPTION}")
