"""`GET /health`."""

from typing import Literal

from pydantic import BaseModel, Field


class Healthy(BaseModel):
    status: Literal["ok"] = "ok"


class Unhealthy(BaseModel):
    status: Literal["unavailable"] = "unavailable"
    reason: str = Field(examples=["Triton at 127.0.0.1:8001 cannot be reached: connection refused"])
