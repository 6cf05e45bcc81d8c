"""Tensors of any dtype pass through a real Triton: from torch, over BLS, into an engine's graph, and back.

And engines are what was asked for, by a model's configuration or at start.
"""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from onnx import TensorProto

from launcher.errors import StartError
from launcher.ports import resolve
from launcher.settings import Ports, Settings
from launcher.triton_server import TritonServer
from tests.small_graphs import save_graph

CALLER = Path(__file__).parent / "dtype_caller" / "model.py"
CALLER_CONFIG = """
backend: "python"
instance_group [ { kind: KIND_CPU count: 1 } ]
input [ { name: "call" data_type: TYPE_STRING dims: [ 2 ] } ]
output [ { name: "report" data_type: TYPE_STRING dims: [ 1 ] } ]
"""
LEAF_CONFIG = """
backend: "engine"
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
input [ {{ name: "x" data_type: {dtype} dims: [ -1, -1 ] }} ]
output [ {{ name: "y" data_type: {dtype} dims: [ -1, -1 ] }} ]
parameters [ {{ key: "FORCE_CPU_ONLY_INPUT_TENSORS" value: {{ string_value: "no" }} }} ]
"""
LEAVES = {
    "float": ("Add", TensorProto.FLOAT, "TYPE_FP32"),
    "half": ("Add", TensorProto.FLOAT16, "TYPE_FP16"),
    "brain": ("Identity", TensorProto.BFLOAT16, "TYPE_BF16"),  # ONNX Runtime computes nothing else of it on a CPU
}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("dtypes")
    repository = folder / "models"
    for model, (operator, dtype, name) in LEAVES.items():
        save_graph(repository / model / "1" / "model.onnx", operator, dtype)
        (repository / model / "config.pbtxt").write_text(LEAF_CONFIG.format(dtype=name))
    (repository / "caller" / "1").mkdir(parents=True)
    shutil.copy(CALLER, repository / "caller" / "1")
    (repository / "caller" / "config.pbtxt").write_text(CALLER_CONFIG)
    ports = resolve(Ports(0, 0, 0))
    with TritonServer(Settings(folder / "run", repository, ports=ports, shm_region_mib=1)):
        yield f"127.0.0.1:{ports.grpc}"


@pytest.mark.parametrize(
    ("model", "dtype", "expected"),
    [
        ("float", "float32", [3.0, 4.5, -1.25]),
        ("half", "float16", [3.0, 4.5, -1.25]),
        ("brain", "bfloat16", [1.0, 2.5, -3.25]),
    ],
)
def test_a_call_takes_and_gives_what_the_graph_does(url: str, model: str, dtype: str, expected: list[float]) -> None:
    call = grpcclient.InferInput("call", [2], "BYTES")
    call.set_data_from_numpy(np.array([model, dtype], np.object_))
    with grpcclient.InferenceServerClient(url) as client:
        result = client.infer("caller", [call])
    answers = json.loads(result.as_numpy("report")[0])
    assert {(answer["dtype"], answer["device"]) for answer in answers} == {(f"torch.{dtype}", "cpu")}
    assert [answer["values"] for answer in answers] == [[expected], [expected] * 2, [expected], []]


@pytest.mark.parametrize(
    ("configured", "at_start"), [("tensorrt", ""), ("onnxruntime", "tensorrt")], ids=["configured", "at start"]
)
def test_an_engine_that_cannot_be_had_is_a_sentence(configured: str, at_start: str, tmp_path: Path) -> None:
    repository = tmp_path / "models"
    parameters = f'parameters [ {{ key: "engine" value: {{ string_value: "{configured}" }} }} ]'
    for model in ("one", "other"):
        save_graph(repository / model / "1" / "model.onnx", "Add", TensorProto.FLOAT)
        (repository / model / "config.pbtxt").write_text(LEAF_CONFIG.format(dtype="TYPE_FP32") + parameters)
    settings = Settings(tmp_path / "run", repository, engine=at_start, ports=resolve(Ports(0, 0, 0)), shm_region_mib=1)
    message = r"^Models (one, other|other, one) did not load: there is no NVIDIA driver here .*CPU only\nThe whole log"
    with pytest.raises(StartError, match=message):
        TritonServer(settings).start()
