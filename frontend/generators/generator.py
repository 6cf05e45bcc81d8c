"""What jobs need of the thing that makes videos and images. `TritonGenerator` is the first."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from protocol.lora import LoraInfo, LoraRequest
from protocol.model_card import ModelCard, Solver
from protocol.sampling import SamplingParams


class UsedParams(BaseModel):
    """What a video or image was really made with; None for what its model has no use for."""

    model_config = ConfigDict(frozen=True)

    width: int
    height: int
    num_frames: int
    num_inference_steps: int
    guidance_scale: float | None = None
    guidance_scale_2: float | None = None
    true_cfg_scale: float | None = None
    seed: int
    flow_shift: float | None = None
    boundary_ratio: float | None = None
    solver: Solver
    lora: tuple[LoraRequest, ...] = ()


class JobTimings(BaseModel):
    """Seconds that a job spent, by phase."""

    model_config = ConfigDict(frozen=True)

    queue_seconds: float
    text_seconds: float
    image_seconds: float = 0.0
    denoise_seconds: float
    decode_seconds: float
    total_seconds: float


class JobInfo(BaseModel):
    """The report that ends a job."""

    model_config = ConfigDict(frozen=True)

    model: str
    params: UsedParams
    timings: JobTimings


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    steps_done: int
    steps: int
    frames_done: int
    frames: int


@dataclass(frozen=True)
class Frames:
    """The next decoded frames, in display order."""

    pixels: NDArray[np.uint8]
    """[frames, height, width, RGB]"""


@dataclass(frozen=True)
class Done:
    """The last event of a job that succeeded."""

    info: JobInfo


Event = Progress | Frames | Done


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
        self, model: str, params: SamplingParams, *, request_id: str, timeout_seconds: float
    ) -> AsyncGenerator[Event, None]:
        """Run one job and yield its events; `Done` is the last. Closing the generator stops the job.

        Raises:
            PipelineError: as the job ended.
            EngineUnavailable: the connection or the model died, or stopped talking.
            EngineFailed: the answer breaks the contract.
        """
        ...
