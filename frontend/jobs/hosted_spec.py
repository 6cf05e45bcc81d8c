"""What a video of a hosted provider is made with."""

from typing import Any

from pydantic import BaseModel, ConfigDict

from frontend.providers.hosted_model import HostedModel, Operation
from frontend.providers.request import FittedRequest, InputImage

_EXPECTED_FPS = 24.0
"""frames per second of most providers; a file says what it really has"""


class HostedSpec(BaseModel):
    """A `FittedRequest` as a job's record keeps it, and how long to wait for it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    provider: str
    operation: Operation
    prompt: str
    duration: int
    """seconds"""
    resolution: str
    aspect_ratio: str
    """empty where the video has that of what it starts from"""
    negative_prompt: str | None = None
    seed: int | None = None
    generate_audio: bool | None = None
    enhance_prompt: bool | None = None
    source: str | None = None
    """of an extension or a retake: the video, as its provider knows it"""
    price: float
    """US dollars, by the table of prices"""
    width: int
    """pixels; until the video is there, those that are expected, like the frames"""
    height: int
    num_frames: int
    fps: float
    timeout_seconds: float
    poll_seconds: float | None = None
    """between two polls; the provider's if None"""
    stops: bool = True
    """see `HostedModel.stops`"""

    @classmethod
    def of(cls, request: FittedRequest, *, timeout_seconds: float, poll_seconds: float | None) -> "HostedSpec":
        """All of the request but its model, which the job names, and its image, which the job has."""
        width, height = request.size
        return cls(
            provider=request.model.provider,
            **{name: getattr(request, name) for name in _REQUESTED},
            price=float(request.price),
            width=width,
            height=height,
            num_frames=round(request.duration * _EXPECTED_FPS),
            fps=_EXPECTED_FPS,
            timeout_seconds=timeout_seconds,
            poll_seconds=poll_seconds,
            stops=request.model.stops,
        )

    def request(self, model: HostedModel, image: InputImage | None) -> FittedRequest:
        """The request that it was made of."""
        fields: dict[str, Any] = {name: getattr(self, name) for name in _REQUESTED}
        return FittedRequest(model=model, image=image, **fields)


_REQUESTED = (
    "operation",
    "prompt",
    "duration",
    "resolution",
    "aspect_ratio",
    "negative_prompt",
    "seed",
    "generate_audio",
    "enhance_prompt",
    "source",
)
