"""Guidance: how the predictions with and without the prompt become one."""

from dataclasses import dataclass
from typing import Any, Literal

import torch

from pipelines.conditions import TextConditions

GuidanceKind = Literal["classifier_free", "norm_preserving"]
"""`classifier_free` as in Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022. `norm_preserving` scales its
result to the norm of the prompt's own prediction, per token (`QwenImagePipeline`'s true CFG)."""


@dataclass(frozen=True)
class Guidance:
    """How one transformer is guided."""

    scale: float
    """s in uncond + s * (cond - uncond)"""
    kind: GuidanceKind = "classifier_free"
    rescale: float = 0.0
    """share of a prediction that has the standard deviation of the prompt's own, as in Lin et al., "Common Diffusion
    Noise Schedules and Sample Steps are Flawed", 2023, section 3.4 (diffusers' `rescale_noise_cfg`)"""

    @property
    def needs_negative(self) -> bool:
        """Whether the negative prompt is encoded at all (diffusers' rule)."""
        return self.scale > 1

    def branches(self, text: TextConditions) -> list[torch.Tensor]:
        """The encoded prompts that a step evaluates, [1, tokens, text_dim] each: the prompt, then the negative prompt
        where there is one and it counts."""
        return [text.prompt] if text.negative is None or self.scale == 1 else [text.prompt, text.negative]

    def combine(self, predictions: torch.Tensor) -> torch.Tensor:
        """The guided prediction, [1, ...].

        Args:
            predictions: [branches, ...], in the order of `branches`; channels are last where `norm_preserving` needs
                them.
        """
        if len(predictions) == 1:
            return predictions
        cond, uncond = predictions.chunk(2)
        guided = uncond + self.scale * (cond - uncond)
        if self.kind == "norm_preserving":
            guided = guided * (_norm(cond) / _norm(guided))
        if self.rescale > 0:
            rescaled = guided * (_std(cond) / _std(guided))
            guided = self.rescale * rescaled + (1 - self.rescale) * guided
        return guided


def _norm(x: torch.Tensor) -> Any:
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)


def _std(x: torch.Tensor) -> torch.Tensor:
    return x.std(dim=tuple(range(1, x.ndim)), keepdim=True)
