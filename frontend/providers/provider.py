"""What the engine needs of a hosted provider."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol, Self, TypeVar

from frontend.providers.hosted_model import HostedModel


@dataclass(frozen=True)
class Prediction:
    """A job that a provider has taken."""

    id: str
    """the provider's"""
    submitted_at: float
    """unix time"""
    route: str = ""
    """where it is asked for, where that depends on what it is"""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))


@dataclass(frozen=True)
class Pending:
    """The job is not done."""

    status: str
    """the provider's word"""
    percent: float | None = None
    """where it tells"""


@dataclass(frozen=True)
class Ready:
    """The video can be fetched."""

    url: str = ""
    """empty where `content` has it"""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    """for this URL's origin alone"""
    content: bytes | None = field(default=None, repr=False)
    source: str | None = None
    """what an extension of the video starts from, as `FittedRequest.source`; None where it cannot be extended"""
    cost: float | None = None
    """US dollars, or units, where the provider tells"""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """what else it tells of the result"""


class Addressed(Protocol):
    """A request for a video, as a provider takes it."""

    @property
    def addressee(self) -> str:
        """Who is to make it, for messages."""
        ...


Request = TypeVar("Request", bound=Addressed, contravariant=True)


class Provider(Protocol[Request]):
    """Speaks one provider's protocol. Methods raise `ProviderError`s, and do not retry."""

    @property
    def name(self) -> str:
        """As in `HostedModel.provider`."""
        ...

    @property
    def models(self) -> tuple[HostedModel, ...]: ...

    @property
    def poll_seconds(self) -> float:
        """Between two polls, as its documentation asks for."""
        ...

    async def submit(self, request: Request) -> Prediction:
        """Have it take a job, which costs money.

        Raises:
            SubmissionUncertain: it may have taken it. After any other error it has not.
        """
        ...

    async def poll(self, prediction: Prediction) -> Pending | Ready:
        """How the job is. Raises GenerationFailed and ContentRefused for its end, and others for this request."""
        ...

    async def cancel(self, prediction: Prediction) -> None:
        """Have it stop the job, where it can."""
        ...

    async def fetch(self, ready: Ready, max_bytes: int) -> bytes:
        """The video of a job that is ready, which has at most so many bytes."""
        ...

    async def close(self) -> None: ...
