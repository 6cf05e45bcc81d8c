"""How sessions are set up, and what a process needs that only runs them."""

import subprocess
import sys
from pathlib import Path

import pytest
from onnx import TensorProto

from protocol.placement import CPU, Device
from runtime.onnx_session import cuda_options, device_of, open_session
from tests.small_graphs import save_graph


def test_threads_spin_within_a_run_and_stop_with_it(tmp_path: Path) -> None:
    save_graph(tmp_path / "model.onnx", "Add", TensorProto.FLOAT)
    session = open_session(tmp_path / "model.onnx", threads=2)
    assert device_of(session) == CPU
    options = session.get_session_options()
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "1"
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"
    assert not options.enable_cpu_mem_arena


LIGHT = """
import sys
import runtime.onnx_engine
assert "torch" not in sys.modules, "a model's process is back sooner, and smaller, without torch"
ours = [name for name in sys.modules if name.startswith("pipelines.") and not name.startswith("pipelines.lora")]
assert not ours, ours
"""


def test_a_process_that_runs_models_imports_neither_torch_nor_sampling_code() -> None:
    done = subprocess.run([sys.executable, "-c", LIGHT], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_graph_that_no_cpu_computes_is_refused_with_what_to_do(tmp_path: Path) -> None:
    graph = tmp_path / "wan_vae" / "1" / "model.onnx"
    save_graph(graph, "Add", TensorProto.BFLOAT16)
    with pytest.raises(
        ValueError, match=r"wan_vae was exported for GPUs, .* on the CPU: export .* without --target onnx"
    ):
        open_session(graph, threads=1)


def test_what_cuda_is_told() -> None:
    assert cuda_options(Device("cuda", 1), None) == {
        "device_id": "1",
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "use_tf32": "0",
    }
    assert cuda_options(Device("cuda"), 2**33)["gpu_mem_limit"] == str(2**33)
