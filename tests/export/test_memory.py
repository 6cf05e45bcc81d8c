"""An export's memory does not grow with the checkpoint."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks.export_memory import write_text_encoder
from export.quiet import quiet_libraries

# Exports a small component, so that all libraries are there, then a large one, and prints by how much memory grew.
MEASURED = """
import ctypes, sys, threading
from pathlib import Path

import torch

from benchmarks.export_memory import anonymous_bytes
from export.component import Task, export_component
from export.options import Options, Precision, Target
from export.wan_t2v import WAN_T2V

small, large, target, precision = sys.argv[1:]
(part,) = [part for part in WAN_T2V.parts if part.component == "text_encoder"]
ctypes.CDLL(None).mallopt(-3, 2**20)  # as workers do
torch.set_num_threads(1)
ended, peak = threading.Event(), 0

def export(folder):
    task = Task(part, Path(folder), Path(folder).parent / "1", "weights", "exporter")
    export_component(task, Options(Target(target), Precision(precision)), lambda stage: None)

def watch():
    global peak
    while not ended.wait(0.01):
        peak = max(peak, anonymous_bytes("self", shared=True))

export(small)
before = anonymous_bytes("self", shared=True)
thread = threading.Thread(target=watch)
thread.start()
export(large)
ended.set()
thread.join()
print(peak - before)
"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("stored", "target", "precision"),
    [(torch.bfloat16, "onnxruntime", "float32"), (torch.float32, "onnx", "bfloat16")],
    ids=["float32", "bfloat16"],
)
def test_memory_stays_far_below_the_weights(
    stored: torch.dtype, target: str, precision: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    quiet_libraries()
    small, large = tmp_path / "small" / "text_encoder", tmp_path / "large" / "text_encoder"
    for folder, layers, width, vocabulary in ((small, 1, 80, 100), (large, 2, 2560, 40_000)):
        folder.mkdir(parents=True)
        size = write_text_encoder(folder, layers, width, vocabulary, stored)
    weights = size // stored.itemsize * torch.float32.itemsize
    assert weights > 600e6
    command = [sys.executable, "-c", MEASURED, str(small), str(large), target, precision]
    done = subprocess.run(command, timeout=600, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < weights / 2
