"""`python -m tests.pipelines.call_memory FOLDER JSON STEP`: prints how many bytes the calls of an exported model take.

The JSON is an object of input name -> shape; a model with caches gets its input as one frame, then STEP at a time.
A process of its own, so that nothing else is measured.
"""

import json
import re
import sys
from pathlib import Path

import numpy as np

from runtime.engine import Chunk
from runtime.heap import Heap, resident_bytes
from runtime.onnx_engine import open_engine
from runtime.vae_engine import StreamingEngine


def main() -> None:
    folder, shapes = Path(sys.argv[1]), json.loads(sys.argv[2])
    engine = open_engine(folder, threads=1)
    rng = np.random.default_rng(0)
    inputs = {name: rng.standard_normal(shape, np.float32) for name, shape in shapes.items()}
    Heap().trim()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident_bytes()
    if isinstance(engine, StreamingEngine):
        ((name, x),) = inputs.items()
        step = int(sys.argv[3])
        chunks = [x[:, :, :1], *(x[:, :, i : i + step] for i in range(1, x.shape[2], step))]
        for i, chunk in enumerate(chunks):
            engine.run({name: chunk}, Chunk(1, start=i == 0, end=i == len(chunks) - 1))
    else:
        engine.run(inputs)
    peak = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert peak is not None
    print(int(peak[1]) * 1024 - before)


if __name__ == "__main__":
    main()
