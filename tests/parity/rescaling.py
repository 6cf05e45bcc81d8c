"""Guidance rescale in diffusers' pipelines that have no argument for it, by the function of those that have."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg


@contextmanager
def rescaled_guidance(pipeline: Any, guidance_rescale: float) -> Iterator[None]:
    """Within the block each step takes the guided prediction rescaled to the prompt's own, which is evaluated first."""
    predictions: list[torch.Tensor] = []
    transformers = [pipeline.transformer, getattr(pipeline, "transformer_2", None)]
    hooks = [
        transformer.register_forward_hook(lambda module, inputs, output: predictions.append(output[0]))
        for transformer in transformers
        if transformer is not None
    ]
    take_step = pipeline.scheduler.step

    def step(guided: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if len(predictions) > 1:
            guided = rescale_noise_cfg(guided, predictions[0][:, : guided.shape[1]], guidance_rescale)
        predictions.clear()
        return take_step(guided, *args, **kwargs)

    try:
        with patch.object(pipeline.scheduler, "step", step):
            yield
    finally:
        for hook in hooks:
            hook.remove()
