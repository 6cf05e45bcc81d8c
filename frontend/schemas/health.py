"""`GET /health`."""

from typing import Literal

from pydantic import BaseModel, Field


class Healthy(BaseModel):
    status: Literal["ok"] = "ok"
    note: str | None = Field(None, description="What does not keep jobs from running now, but may soon.")


class Unhealthy(BaseModel):
    status: Literal["unavailable"] = "unavailable"
    reason: str = Field(examples=["Triton at 127.0.0.1:8001 cannot be reached: connection refused"])
