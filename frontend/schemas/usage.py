"""`GET /v1/usage`."""

from typing import Literal

from pydantic import BaseModel, Field


class UsageRow(BaseModel):
    """What one API key has spent on one model on one day."""

    date: str = Field(description="A day of UTC.", examples=["2026-11-28"])
    key: str | None = Field(description="Name of the API key; null for requests without one.", examples=["ann"])
    provider: str = Field(examples=["klingai"])
    model: str = Field(examples=["kling-v1"])
    videos: int = Field(description="Sent to the provider, or waiting for that.", examples=[3])
    dollars: float = Field(description="By the provider's price list.", examples=[0.42])


class Usage(BaseModel):
    """What was spent on hosted providers."""

    object: Literal["usage"] = "usage"
    data: list[UsageRow]
    total_dollars: float = Field(description="Of all rows.", examples=[0.42])
