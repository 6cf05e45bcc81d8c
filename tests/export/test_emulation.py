"""Half-precision graphs on the CPU compute what torch computes in half precision, operator by operator."""

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from export.emulation import emulate
from export.graph import Graph, Session, save, trace

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Layers(nn.Module):
    """A residual layer, attention with a mask over keys, and a result that is half precision as well."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.linear = nn.Linear(16, 48).to(dtype)
        self.norm = nn.LayerNorm(16).to(dtype)

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        hidden = x.to(self.dtype)
        query, key, value = self.linear(self.norm(hidden)).unflatten(2, (3, 2, 8)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask[:, None, None] > 0.5)
        hidden = hidden + attended.transpose(1, 2).flatten(2)
        return hidden.float(), hidden


@pytest.mark.parametrize("precision", DTYPES)
def test_rounds_as_torch_does(precision: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Layers(DTYPES[precision])
    x, mask = torch.randn(3, 5, 16), (torch.arange(5)[None] < torch.tensor([[5], [2], [3]])).float()
    graph = Graph(
        file="model.onnx",
        module=module,
        example=(torch.randn(2, 7, 16), torch.ones(2, 7)),
        dynamic_shapes={"x": {0: "batch", 1: "tokens"}, "mask": {0: "batch", 1: "tokens"}},
        inputs=["x", "mask"],
        outputs=["result", "half"],
    )
    save(emulate(trace(graph)), tmp_path / "model.onnx", external_above=2**31)
    session = Session(tmp_path / "model.onnx")
    assert session.runtime.get_outputs()[1].type == (
        "tensor(bfloat16)" if precision == "bfloat16" else "tensor(float16)"
    )
    result = session.runtime.run(["result"], {"x": x.numpy(), "mask": mask.numpy()})[0]
    with torch.no_grad():
        expected, exact = module(x, mask)[0], module.float()
    exact.dtype = torch.float32
    reference = exact(x, mask)[0].detach()
    rounding = float((expected - reference).abs().max())
    assert rounding > 1e-4
    assert float(np.abs(result - reference.numpy()).max()) < 1.5 * rounding
    # half the values or more round to the very same number; the kernels' sums have other orders
    assert float((torch.from_numpy(result) == expected).float().mean()) > 0.5


def test_a_float32_graph_computes_what_it_did(tmp_path: Path) -> None:
    x = ir.val("x", ir.DataType.FLOAT, ir.Shape(["n"]))
    tape = ir.tape.Tape()
    y = tape.op("Sin", [x])
    y.name, y.type = "y", ir.TensorType(ir.DataType.FLOAT)
    model = ir.Model(ir.Graph([x], [y], nodes=tape.nodes, opset_imports={"": 23}, name="main"), ir_version=10)
    save(emulate(model), tmp_path / "model.onnx", external_above=2**31)
    (result,) = Session(tmp_path / "model.onnx").run(np.ones(3, np.float32))
    np.testing.assert_allclose(result, np.sin(np.ones(3, np.float32)))
