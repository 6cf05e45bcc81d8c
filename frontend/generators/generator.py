"""What jobs need of the thing that makes videos and images: a Triton server, `TritonGenerator`, or a `Pool` of them."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import NotRequired, Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray

from protocol.events import Done, Progress
from protocol.lora import LoraInfo
from protocol.model_card import ModelCard
from protocol.sampling import AnySpec


@dataclass(frozen=True)
class Frames:
    """The next decoded frames, in display order."""

    pixels: NDArray[np.uint8]
    """[frames, height, width, RGB]"""


@dataclass(frozen=True)
class Checkpoint:
    """What an equal job can go on from, as `generate` takes it for `resume`."""

    steps_done: int
    content: bytes


@dataclass(frozen=True)
class Preview:
    """What the video or image is going to look like, as a step estimates it."""

    pixels: NDArray[np.uint8]
    """[height, width, RGB], far smaller than what is made"""
    steps_done: int
    steps: int


Event = Progress | Frames | Checkpoint | Preview | Done


class JobOptions(TypedDict):
    """What `Generator.generate` takes beside the model and the spec."""

    request_id: str
    timeout_seconds: float
    checkpoint_seconds: NotRequired[float]
    resume: NotRequired[bytes | None]
    previews: NotRequired[int]
    preview_seconds: NotRequired[float]


class Generator(Protocol):
    """Makes videos and images. Its methods may be called concurrently between `open` and `close`."""

    async def open(self) -> None:
        """Get ready to be called. Does not wait for the models: they may start later."""
        ...

    async def close(self) -> None:
        """Give up what `open` acquired."""
        ...

    async def models(self) -> list[ModelCard]:
        """The cards of what is served now.

        Raises:
            EngineUnavailable: within a few seconds when nobody answers.
        """
        ...

    async def loras(self) -> list[LoraInfo]:
        """The adapters that jobs can use now.

        Raises:
            EngineUnavailable: as `models`.
        """
        ...

    async def check_ready(self) -> None:
        """Return within a few seconds if a job would run now.

        Raises:
            EngineUnavailable: with the reason why not.
        """
        ...

    def generate(
        self,
        model: str,
        spec: AnySpec,
        *,
        request_id: str,
        timeout_seconds: float,
        checkpoint_seconds: float = 0,
        resume: bytes | None = None,
        previews: int = 0,
        preview_seconds: float = 0,
    ) -> AsyncGenerator[Event, None]:
        """Run one job and yield its events; `Done` is the last. Closing the generator stops the job.

        Args:
            checkpoint_seconds: between two checkpoints; 0 for none.
            resume: a checkpoint to go on from; progress counts the steps before it.
            previews: how many there are to be, at even distances.
            preview_seconds: instead, between two of them; 0 for none.

        Raises:
            PipelineError: as the job ended. InvalidRequest for `resume`: nothing can go on from it, so call again
                without.
            EngineUnavailable: the connection or the model died, or stopped talking.
            EngineFailed: the answer breaks the contract.
        """
        ...
