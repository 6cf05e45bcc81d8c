"""An engine takes and gives the dtypes of its graph."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import TensorProto
from torch.utils.dlpack import from_dlpack

from pipelines.in_process import InProcessRunner
from pipelines.runner import Inputs
from pipelines.step_batcher import StepBatcher
from protocol.errors import ModelFailed
from runtime.onnx_engine import open_engine
from tests.small_graphs import save_graph

GRAPHS = {
    torch.float32: ("Add", TensorProto.FLOAT),
    torch.float16: ("Add", TensorProto.FLOAT16),
    torch.bfloat16: ("Identity", TensorProto.BFLOAT16),  # ONNX Runtime computes nothing else of it on a CPU
}
ADDED = {torch.float32: 2, torch.float16: 2, torch.bfloat16: 0}


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    for dtype, (operator, element_type) in GRAPHS.items():
        save_graph(tmp_path / str(dtype) / "1" / "model.onnx", operator, element_type)
    return tmp_path


@pytest.mark.parametrize("dtype", GRAPHS)
def test_torch_tensors_by_dlpack(repository: Path, dtype: torch.dtype) -> None:
    x = torch.tensor([[1.0, -2.5, 3.0]], dtype=dtype)
    y = from_dlpack(open_engine(repository / str(dtype) / "1").run({"x": x})["y"])
    assert y.dtype == dtype
    assert torch.equal(y, x + ADDED[dtype])


def test_numpy_arrays_where_numpy_has_the_dtype(repository: Path) -> None:
    x = np.array([[1.0, -2.5]], np.float16)
    y = from_dlpack(open_engine(repository / "torch.float16" / "1").run({"x": x})["y"])
    assert y.tolist() == [[3.0, -0.5]]


@pytest.mark.parametrize("dtype", GRAPHS)
async def test_rows_through_the_batcher_and_the_runner(repository: Path, dtype: torch.dtype) -> None:
    runner = InProcessRunner(repository, threads=1)

    async def call(model: str, inputs: Inputs) -> torch.Tensor:
        return await runner.infer(model, {"x": inputs["hidden_states"]}, "y")

    rows = torch.tensor([[1.0], [2.0]], dtype=dtype).expand(2, 3)  # not contiguous
    y = await StepBatcher(call, max_rows=8).evaluate(str(dtype), {"hidden_states": rows})
    assert y.dtype == dtype
    assert torch.equal(y, rows + ADDED[dtype])


async def test_another_dtype_than_the_graph_s_is_an_error(repository: Path) -> None:
    with pytest.raises(ModelFailed, match="float16"):
        await InProcessRunner(repository).infer("torch.float16", {"x": torch.ones(1, 2)}, "y")
