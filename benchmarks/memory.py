"""Peak memory of decoding a video, by its length."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np

SIZE = 256
"""pixels each way"""


def peak_mib(repository: Path, family: str, frames: int) -> float:
    """Peak resident memory of a process of its own that decodes one video, over what it had with the models loaded."""
    command = [sys.executable, "-m", "benchmarks.memory", str(repository), family, str(frames)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True, timeout=600).stdout)


def main(repository: Path, family: str, frames: int) -> None:
    from protocol.model_card import ModelCard
    from runtime.engine import Chunk
    from runtime.vae_engine import open_vae_engine

    card = ModelCard.read(repository / "generate" / "1" / family)
    space = card.latents
    side = SIZE // space.spatial_stride
    engine = open_vae_engine(repository / card.components.vae / "1")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak of loading
    loaded = _status_mib("VmRSS")
    count = (frames - 1) // space.temporal_stride + 1
    for i in range(count):
        z = np.zeros((1, space.channels, 1, side, side), np.float32)
        engine.run({"latents": z}, Chunk(1, start=i == 0, end=i == count - 1))
    print(_status_mib("VmHWM") - loaded)


def _status_mib(field: str) -> float:
    match = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert match is not None
    return int(match[1]) / 1024


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
