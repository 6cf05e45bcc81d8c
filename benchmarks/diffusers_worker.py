"""diffusers' own pipeline in a process of its own, one video a line of standard input.

Reads JSON requests, and writes the seconds that each pipeline call took.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil


class DiffusersWorker:
    """The process, from the outside. A context manager: loaded, then ended."""

    def __init__(self, checkpoint: Path) -> None:
        self._command = [sys.executable, "-m", "benchmarks.diffusers_worker", str(checkpoint)]

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate(timeout=10)

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self._process.pid)

    def generate(self, request: dict[str, Any]) -> float:
        """Make one video; seconds of the pipeline call."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return float(self._read())

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the diffusers process ended")
        return line


def main(checkpoint: Path) -> None:
    import torch
    from diffusers import WanPipeline

    pipeline = WanPipeline.from_pretrained(checkpoint, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        generator = torch.Generator().manual_seed(request.pop("seed"))
        started = time.perf_counter()
        pipeline(**request, generator=generator, output_type="np")
        print(time.perf_counter() - started, flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
