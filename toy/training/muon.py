"""Muon: momentum whose update is orthogonalised, matrix by matrix (K. Jordan and others, 2024)."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.optim import Optimizer

_COEFFICIENTS = (3.4445, -4.7750, 2.0315)
_ITERATIONS = 5
_UPDATE_RMS = 0.2


class Muon(Optimizer):
    """For weights of two or more dimensions; a convolution's kernel counts as a matrix [out, in * taps].

    An update is scaled to the root mean square that AdamW's typically have (0.2), as in "Muon is Scalable for LLM
    Training" (Moonshot AI, 2025), so that both can share a learning rate.
    """

    def __init__(
        self, parameters: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.0
    ) -> None:
        super().__init__(parameters, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["momentum"] = torch.zeros_like(parameter)
                state["momentum"].lerp_(parameter.grad, 1 - group["momentum"])
                ahead = parameter.grad.lerp(state["momentum"], group["momentum"])  # Nesterov
                update = _orthogonalise(ahead.flatten(1)).view_as(parameter)
                parameter.mul_(1 - group["lr"] * group["weight_decay"])
                parameter.add_(update, alpha=-group["lr"] * _UPDATE_RMS * max(ahead.flatten(1).shape) ** 0.5)


def _orthogonalise(matrix: Tensor) -> Tensor:
    """Roughly the nearest matrix with all singular values 1, by Newton-Schulz iterations of fifth order."""
    a, b, c = _COEFFICIENTS
    tall = matrix.shape[0] > matrix.shape[1]
    x = matrix.T if tall else matrix
    x = torch.div(x, torch.linalg.vector_norm(x) + 1e-7)
    for _ in range(_ITERATIONS):
        gram = x @ x.T
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.T if tall else x
