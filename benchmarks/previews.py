"""How long a preview takes `generate`, at the sizes of the published models: `python -m benchmarks.previews`."""

import statistics
import time

import torch

from pipelines.denoise import estimate_finished
from pipelines.preview import draw_preview
from runtime.latent_colours import LatentColours

ROUNDS = 30
LATENTS = {
    "Wan2.2-A14B, 81 frames of 832x480": (16, 21, 60, 104),
    "Wan2.2-TI2V-5B, 121 frames of 1280x704": (48, 31, 44, 80),
    "Qwen-Image, 1024x1024": (16, 1, 128, 128),
}
"""channels, frames, height, width"""


def main() -> None:
    """Print the milliseconds of one CPU thread, as `generate` has it."""
    torch.set_num_threads(1)
    for model, shape in LATENTS.items():
        latents, velocity = torch.randn(1, *shape), torch.randn(1, *shape)
        colours = LatentColours(weights=((0.1, 0.2, 0.3),) * shape[0], bias=(0.5, 0.5, 0.5))
        seconds = [_seconds(latents, velocity, colours) for _ in range(ROUNDS)]
        print(f"{model}: {1000 * statistics.median(seconds):.1f} ms at the median, {1000 * min(seconds):.1f} at best")


def _seconds(latents: torch.Tensor, velocity: torch.Tensor, colours: LatentColours) -> float:
    started = time.perf_counter()
    draw_preview(estimate_finished(latents, velocity, torch.tensor(0.5), lambda finished: finished), colours)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
