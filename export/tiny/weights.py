"""Random weights."""

import torch
from torch import nn


def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Matrices that keep the scale of what goes through them, gains around 1 and small biases."""
    for name, parameter in sorted(module.named_parameters()):
        noise = torch.randn(parameter.shape, generator=generator)
        gain = parameter.ndim == 1 or name.endswith("gamma")
        with torch.no_grad():
            if name.endswith("bias"):
                parameter.copy_(0.05 * noise)
            elif gain:
                parameter.copy_(1 + 0.1 * noise)
            else:
                parameter.copy_(noise / parameter[0].numel() ** 0.5)
