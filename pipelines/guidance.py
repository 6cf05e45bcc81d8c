"""Combining the predictions with and without the prompt."""

from typing import Any

import torch


def classifier_free(cond: torch.Tensor, uncond: torch.Tensor, scale: float) -> torch.Tensor:
    """uncond + s * (cond - uncond), as in Ho and Salimans, "Classifier-Free Diffusion Guidance", 2022."""
    return uncond + scale * (cond - uncond)


def norm_preserving(cond: torch.Tensor, uncond: torch.Tensor, scale: float) -> torch.Tensor:
    """Classifier-free guidance whose result keeps the norm of `cond`, token by token (`QwenImagePipeline`).

    Args:
        cond, uncond: [batch, tokens, channels].
    """
    guided = classifier_free(cond, uncond, scale)
    rescaled: torch.Tensor = guided * (_norm(cond) / _norm(guided))
    return rescaled


def _norm(x: torch.Tensor) -> Any:
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True)
