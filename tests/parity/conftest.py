"""diffusers' own pipelines, the reference."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, UniPCMultistepScheduler, WanPipeline
from numpy.typing import NDArray

from pipelines.request import SamplingParams


class Reference:
    """`WanPipeline` on a checkpoint, float32, asked in the terms of our own request."""

    def __init__(self, checkpoint: Path) -> None:
        # torch's threads spin while they wait; beside anything else on the machine two are slower than one
        torch.set_num_threads(1)
        self._pipeline = WanPipeline.from_pretrained(checkpoint, dtype=torch.float32)
        self._pipeline.set_progress_bar_config(disable=True)
        self._scheduler_config = self._pipeline.scheduler.config

    def frames(self, params: SamplingParams, max_sequence_length: int) -> NDArray[np.float32]:
        """float32 [frames, height, width, 3], 0..1."""
        pipeline, config = self._pipeline, self._scheduler_config
        pipeline.scheduler = (
            UniPCMultistepScheduler.from_config(config, flow_shift=params.flow_shift)
            if params.solver == "unipc"
            else FlowMatchEulerDiscreteScheduler.from_config(config, shift=params.flow_shift)
        )
        pipeline.register_to_config(boundary_ratio=params.boundary_ratio)
        output: Any = pipeline(
            prompt=params.prompt,
            negative_prompt=params.negative_prompt,
            height=params.height,
            width=params.width,
            num_frames=params.num_frames,
            num_inference_steps=params.num_inference_steps,
            guidance_scale=params.guidance_scale,
            guidance_scale_2=params.guidance_scale_2,
            generator=torch.Generator().manual_seed(params.seed),
            max_sequence_length=max_sequence_length,
            output_type="np",
        )
        frames: NDArray[np.float32] = output.frames[0]
        return frames


@pytest.fixture(scope="session")
def reference() -> Callable[[Path], Reference]:
    return cache(Reference)
