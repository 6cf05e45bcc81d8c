"""How long making took."""

from collections.abc import Sequence
from typing import Self

from pydantic import BaseModel, Field

from protocol.events import JobTimings


class Timings(BaseModel):
    """Seconds spent, by phase."""

    queue_seconds: float = Field(description="Waiting for a place.")
    text_seconds: float = Field(description="Encoding the prompts.")
    image_seconds: float = Field(description="Encoding the image that a video starts from.")
    denoise_seconds: float = Field(description="All denoising steps.")
    decode_seconds: float = Field(description="Turning latents into frames.")
    encode_seconds: float = Field(description="Encoding the file; of a video mostly while later frames are decoded.")
    total_seconds: float = Field(description="From the start to the end.")

    @classmethod
    def of_job(cls, job: JobTimings, encode_seconds: float) -> Self:
        return cls(**job.model_dump(), encode_seconds=encode_seconds)

    @classmethod
    def of_request(cls, jobs: Sequence["Timings"], total_seconds: float) -> Self:
        """The phases summed over the request's jobs; `total_seconds` from its arrival to its answer."""
        phases = cls.model_fields.keys() - {"total_seconds"}
        return cls(**{name: sum(getattr(job, name) for job in jobs) for name in phases}, total_seconds=total_seconds)
