"""Decodes one clip and says how much memory it took: `python -m benchmarks.decode_worker MODEL_REPOSITORY CARD_DIR`."""

import asyncio
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.worker import serve
from pipelines.frames import to_uint8
from pipelines.in_process import InProcessRunner
from pipelines.model_card import ModelCard
from pipelines.vae_decoder import decode

_PROC = Path("/proc/self")


def prepare(model_repository: Path, card_dir: Path) -> Callable[..., dict[str, Any]]:
    card = ModelCard.read(card_dir)
    runner = InProcessRunner(model_repository)

    async def decode_clip(num_frames: int, width: int, height: int) -> int:
        """Decode noise, frames thrown away as they come; returns how many came."""
        space = card.latents
        frames = (num_frames - 1) // space.temporal_stride + 1
        shape = (1, space.channels, frames, height // space.spatial_stride, width // space.spatial_stride)
        latents = torch.randn(shape, generator=torch.Generator().manual_seed(0))
        return sum([len(to_uint8(chunk)) async for chunk in decode(latents, space, runner, card.components.vae)])

    def measure(num_frames: int, width: int, height: int) -> dict[str, Any]:
        baseline = psutil.Process().memory_info().rss
        (_PROC / "clear_refs").write_text("5")  # the peak counts from here
        started = time.perf_counter()
        made = asyncio.run(decode_clip(num_frames, width, height))
        seconds = time.perf_counter() - started
        return {"frames": made, "seconds": seconds, "baseline_bytes": baseline, "peak_bytes": peak_bytes()}

    multiple = card.limits.size_multiple
    asyncio.run(decode_clip(2 * card.latents.temporal_stride + 1, multiple, multiple))  # loads both graphs
    return measure


def peak_bytes() -> int:
    """The most memory that this process ever had in use (VmHWM), since the last reset."""
    lines = (_PROC / "status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


if __name__ == "__main__":
    serve(lambda: prepare(Path(sys.argv[1]), Path(sys.argv[2])))
