"""diffusers' own `WanPipeline` in a process of its own: `python -m benchmarks.diffusers_worker CHECKPOINT`."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import WanPipeline

from benchmarks.worker import serve


def prepare(checkpoint: Path) -> Callable[..., dict[str, Any]]:
    """Load the checkpoint in float32, as it is served. Torch keeps its own choice of threads, one a core."""
    pipeline = WanPipeline.from_pretrained(checkpoint, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def make_clip(seed: int, save_to: str | None = None, **arguments: Any) -> dict[str, Any]:
        started = time.perf_counter()
        generator = torch.Generator().manual_seed(seed)
        frames = pipeline(**arguments, generator=generator, output_type="np").frames[0]
        seconds = time.perf_counter() - started
        if save_to is not None:
            np.save(save_to, frames)
        return {"seconds": seconds}

    return make_clip


if __name__ == "__main__":
    serve(lambda: prepare(Path(sys.argv[1])))
