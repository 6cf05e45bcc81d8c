"""diffusers' own pipelines in float32, asked in the terms of our own request."""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    DiffusionPipeline,
    FlowMatchEulerDiscreteScheduler,
    QwenImagePipeline,
    UniPCMultistepScheduler,
    WanImageToVideoPipeline,
    WanPipeline,
)
from numpy.typing import NDArray
from PIL import Image

from .rescaling import rescaled_guidance


class Reference(ABC):
    """A checkpoint, sampled by diffusers."""

    def __init__(self, checkpoint: Path) -> None:
        # torch's threads spin while they wait; beside anything else on the machine two are slower than one
        torch.set_num_threads(1)
        self._checkpoint = checkpoint
        self._loaded: dict[type[DiffusionPipeline], Any] = {}

    @abstractmethod
    def frames(self, params: Any, max_sequence_length: int) -> NDArray[np.float32]:
        """float32 [frames, height, width, 3], 0..1."""

    def call(self, pipeline: Any, params: Any, max_sequence_length: int, **of_family: Any) -> Any:
        """The pipeline's output for the request."""
        with rescaled_guidance(pipeline, params.guidance_rescale):
            return pipeline(
                prompt=params.prompt,
                negative_prompt=params.negative_prompt,
                height=params.height,
                width=params.width,
                num_inference_steps=params.num_inference_steps,
                generator=torch.Generator().manual_seed(params.seed),
                max_sequence_length=max_sequence_length,
                output_type="np",
                **of_family,
            )

    def pipeline(self, kind: type[DiffusionPipeline]) -> Any:
        """The checkpoint in a pipeline of this class, loaded once."""
        if kind not in self._loaded:
            self._loaded[kind] = kind.from_pretrained(self._checkpoint, dtype=torch.float32)
            self._loaded[kind].set_progress_bar_config(disable=True)
        return self._loaded[kind]


class WanReference(Reference):
    """`WanPipeline`, and `WanImageToVideoPipeline` for requests with an image."""

    def frames(self, params: Any, max_sequence_length: int) -> NDArray[np.float32]:
        pipeline = self.pipeline(WanPipeline if params.image is None else WanImageToVideoPipeline)
        pipeline.scheduler = self._scheduler(params)
        pipeline.register_to_config(boundary_ratio=params.boundary_ratio)
        output = self.call(
            pipeline,
            params,
            max_sequence_length,
            **({} if params.image is None else {"image": Image.fromarray(params.image)}),
            num_frames=params.num_frames,
            guidance_scale=params.guidance_scale,
            guidance_scale_2=params.guidance_scale_2,
        )
        frames: NDArray[np.float32] = output.frames[0]
        return frames

    def _scheduler(self, params: Any) -> Any:
        """The checkpoint's own; where that is another solver, one made as diffusers' documentation of Wan makes it."""
        config = json.loads((self._checkpoint / "scheduler" / "scheduler_config.json").read_text())
        if params.solver == "euler":
            own = config if config["_class_name"] == "FlowMatchEulerDiscreteScheduler" else {}
            return FlowMatchEulerDiscreteScheduler.from_config(own, shift=params.flow_shift)
        if config["_class_name"] == "UniPCMultistepScheduler":
            return UniPCMultistepScheduler.from_config(config, flow_shift=params.flow_shift)
        return UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=params.flow_shift
        )


class QwenImageReference(Reference):
    """`QwenImagePipeline`."""

    def frames(self, params: Any, max_sequence_length: int) -> NDArray[np.float32]:
        pipeline = self.pipeline(QwenImagePipeline)
        # the class has a constant for it, which holds for Qwen's own tokenizer alone
        before_the_prompt = pipeline.prompt_template_encode.split("{}")[0]
        pipeline.prompt_template_encode_start_idx = len(pipeline.tokenizer(before_the_prompt).input_ids)
        output = self.call(pipeline, params, max_sequence_length, true_cfg_scale=params.true_cfg_scale)
        frames: NDArray[np.float32] = output.images
        return frames


def open_reference(checkpoint: Path) -> Reference:
    """The reference of a checkpoint's own kind."""
    kind = json.loads((checkpoint / "model_index.json").read_text())["_class_name"]
    return QwenImageReference(checkpoint) if kind == "QwenImagePipeline" else WanReference(checkpoint)
