"""Muon's update: orthogonal, of AdamW's size, kernels as matrices."""

import pytest
import torch
from torch import nn

from toy.training.muon import Muon


@pytest.mark.parametrize("shape", [(8, 24), (24, 8), (8, 4, 3, 3), (8, 4, 3, 3, 3)])
def test_update_is_nearly_orthogonal_whatever_the_gradient(shape: tuple[int, ...]) -> None:
    weight = nn.Parameter(torch.zeros(shape))
    optimizer = Muon([weight], lr=1.0)
    weight.grad = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 1e-3
    optimizer.step()
    matrix = weight.detach().flatten(1)
    scale = 0.2 * max(matrix.shape) ** 0.5
    singular = torch.linalg.svdvals(matrix) / scale
    assert singular.min() > 0.5
    assert singular.max() < 1.3
    assert torch.sum(matrix * weight.grad.flatten(1)) < 0  # downhill


def test_parameters_without_gradient_stay() -> None:
    weight = nn.Parameter(torch.ones(4, 4))
    Muon([weight], lr=1.0, weight_decay=0.1).step()
    assert torch.equal(weight, torch.ones(4, 4))
