"""The form for ONNX Runtime computes what the standard one does, without the standard attention."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from export import wan_transformer
from export.attention import expand_masks, fuse_attention
from export.graph import OPSET, Graph, Session, save, trace


def operators(model: ir.Model) -> Counter[tuple[str, str]]:
    return Counter((node.domain, node.op_type) for node in model.graph)


class Attending(nn.Module):
    """Attention over `heads`-first operands, as given or by way of the usual transposes."""

    def __init__(self, tokens_first: bool, **options: Any) -> None:
        super().__init__()
        self._tokens_first = tokens_first
        self._options = options

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        if self._tokens_first:
            query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        attended = functional.scaled_dot_product_attention(query, key, value, **self._options)
        return 2 * (attended.transpose(1, 2) if self._tokens_first else attended)


def traced(module: nn.Module, *operands: Tensor) -> ir.Model:
    names = ["query", "key", "value"]
    sizes = {name: {0: "batch"} for name in names}
    return trace(Graph("attention.onnx", module, operands, sizes, names, ["attended"]))


@pytest.mark.parametrize("heads", [1, 4])
@pytest.mark.parametrize("tokens_first", [True, False])
@pytest.mark.parametrize("scale", [None, 0.3])
def test_attention_becomes_multi_head_attention(
    heads: int, tokens_first: bool, scale: float | None, tmp_path: Path
) -> None:
    module = Attending(tokens_first, scale=scale)
    shape = (2, 6, heads, 8) if tokens_first else (2, heads, 6, 8)
    model = traced(module, *(torch.randn(shape) for _ in range(3)))
    assert fuse_attention(model) == 1

    found = operators(model)
    assert found["com.microsoft", "MultiHeadAttention"] == 1
    assert found["", "Attention"] == 0
    if tokens_first:
        assert found["", "Transpose"] == 0
    save(model, tmp_path / "fused.onnx", external_above=10**9)
    operands = [torch.randn(3, *shape[1:]) for _ in range(3)]
    (attended,) = Session(tmp_path / "fused.onnx").run(*(x.numpy() for x in operands))
    np.testing.assert_allclose(attended, module(*operands).numpy(), atol=5e-6)  # some roundings of numbers up to 4


def test_causal_attention_is_left_standard() -> None:
    model = traced(Attending(True, is_causal=True), *(torch.randn(2, 6, 2, 8) for _ in range(3)))
    before = operators(model)
    assert fuse_attention(model) == 0
    assert operators(model) == before
    assert "com.microsoft" not in model.graph.opset_imports


def test_masked_attention_is_left_standard() -> None:
    mask = torch.tensor([[True] * 5 + [False]]).expand(6, 6)
    model = traced(Attending(True, attn_mask=mask), *(torch.randn(2, 6, 2, 8) for _ in range(3)))
    assert fuse_attention(model) == 0
    assert operators(model)["", "Attention"] == 1


@pytest.mark.parametrize("queries", [1, 6])
def test_a_mask_of_keys_is_repeated_for_each_query_once(queries: int, tmp_path: Path) -> None:
    mask = torch.tensor([[True] * 5 + [False]]).expand(queries, 6)
    module = Attending(True, attn_mask=mask[None, None].clone())
    operands = [torch.randn(2, 6, 2, 8) for _ in range(3)]
    model = traced(module, *operands)
    for _ in range(2):
        expand_masks(model.graph)
        assert operators(model)["", "Expand"] == (1 if queries == 1 else 0)
    save(model, tmp_path / "masked.onnx", external_above=10**9)
    (attended,) = Session(tmp_path / "masked.onnx").run(*(x.numpy() for x in operands))
    np.testing.assert_allclose(attended, module(*operands).numpy(), atol=1e-6)


def test_both_forms_of_a_transformer_give_the_same(tiny_checkpoint: Path, tmp_path: Path) -> None:
    transformer: Any = wan_transformer.load(tiny_checkpoint / "transformer")
    (graph,) = wan_transformer.graphs(transformer)
    model = trace(graph)
    standard = operators(model)
    assert {domain for domain, _ in standard} == {""}
    assert model.graph.opset_imports[""] == OPSET
    assert standard["", "Attention"] == 2 * 2  # self and cross, two layers
    save(model, tmp_path / "standard.onnx", external_above=10**9)
    assert fuse_attention(model) == 4
    save(model, tmp_path / "fused.onnx", external_above=10**9)

    inputs = (
        torch.randn(1, 16, 4, 6, 10).numpy(),
        np.array([612.5], dtype=np.float32),
        torch.randn(1, 9, transformer.config.text_dim).numpy(),
    )
    (expected,) = Session(tmp_path / "standard.onnx").run(*inputs)
    (sample,) = Session(tmp_path / "fused.onnx").run(*inputs)
    assert expected.shape == (1, 16, 4, 6, 10)
    np.testing.assert_allclose(sample, expected, atol=1e-5)
