"""`/v1/servers`."""

from typing import Literal

from pydantic import BaseModel, Field

from frontend.generators.endpoint import Endpoint


class Server(BaseModel):
    """A Triton server behind this frontend."""

    name: str = Field(description="Its address, as the settings say.", examples=["127.0.0.1:8001"])
    object: Literal["server"] = "server"
    healthy: bool = Field(description="Whether it answered when it was last asked.")
    draining: bool = Field(description="Whether it gets no new jobs.")
    reason: str | None = Field(description="Why it gets no new jobs; null where it does.")
    models: list[str] = Field(description="Those that it served when it last answered.", examples=[["wan2.2-t2v-a14b"]])
    running: int = Field(description="Videos and images that it makes for this frontend, those that wait there too.")
    outstanding_evaluations: int = Field(
        description="Evaluations of transformers that are left of these.", examples=[160]
    )

    @classmethod
    def of(cls, endpoint: Endpoint) -> "Server":
        return cls(
            name=endpoint.name,
            healthy=endpoint.is_healthy,
            draining=endpoint.is_draining,
            reason=endpoint.why_not(),
            models=list(endpoint.cards or ()),
            running=endpoint.parts,
            outstanding_evaluations=endpoint.outstanding(),
        )


class ServerList(BaseModel):
    """The Triton servers behind this frontend."""

    object: Literal["list"] = "list"
    data: list[Server]
