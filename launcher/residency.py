"""Whether every model stays loaded, or models come and go: decided before any is loaded, by what memory there is."""

import re
import shutil
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from launcher.errors import SetupError
from pipelines.ensemble.memory import MemoryEstimate, MemoryNeed, available_bytes
from protocol.errors import PipelineError
from protocol.model_card import ModelCard
from protocol.repository import VERSION
from protocol.residency import weights_bytes
from protocol.resolve import parse, resolve
from runtime.bands import BandPlan

_USED_FRACTION = 0.8
"""of the memory that a machine has left; the rest is for caches, files and what nobody counted"""
_GUIDANCE_ROWS = 2

# As in export.plan, whose arithmetic for GPUs this is. They are estimates: no GPU has been measured.
_CONTEXT_BYTES = 512 * 2**20
"""of a process that uses the GPU"""
_WORKSPACE_BYTES = 512 * 2**20
"""of kernels that compute"""
_MARGIN = 0.25
"""of what is computed"""
_HALF = ("bfloat16", "float16")


_UNITS = {"MB": 10**6, "GB": 10**9, "TB": 10**12, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([MGT]i?B)", re.ASCII | re.IGNORECASE)


class Choice(StrEnum):
    """What `--residency` takes."""

    AUTO = "auto"
    RESIDENT = "resident"
    SWAP = "swap"


@dataclass(frozen=True)
class Gpu:
    name: str
    bytes: int


@dataclass(frozen=True)
class Wanted:
    """What is to be loaded."""

    card: ModelCard
    weights: Mapping[str, int]
    """bytes, by Triton model"""
    need: MemoryNeed
    """of a job of the default size, on a CPU"""

    @classmethod
    def of(cls, card: ModelCard, repository: Path) -> "Wanted":
        """Raises OSError or ValueError where the checkpoint's files cannot be read."""
        folders = {model: repository / model / VERSION for model in card.components.names()}
        weights = {model: weights_bytes(folder) for model, folder in folders.items()}
        vaes = [model for model in (card.components.vae, card.components.vae_encoder) if model is not None]
        estimate = MemoryEstimate(_GUIDANCE_ROWS, 2**62, {model: BandPlan.read(folders[model]) for model in vaes})
        width, height = card.defaults.width, card.defaults.height
        image = np.zeros((height, width, 3), np.uint8) if card.takes_image else None
        try:
            need = estimate.of(resolve(parse({"prompt": "a", "image": image}), card), card)
        except PipelineError:  # a default that the model cannot do: its jobs say their own size
            need = MemoryNeed()
        return cls(card, weights, need)


@dataclass(frozen=True)
class Residency:
    """How weights are loaded."""

    budget: int
    """bytes that the weights of loaded models may take together"""
    swaps: bool
    reason: str
    """a sentence with the numbers"""

    def why_not(self, wanted: Wanted, loaded: Mapping[str, int]) -> str | None:
        """Why a checkpoint cannot be served, or None.

        Args:
            loaded: the weights of what is served already, where it stays loaded.
        """
        largest = max(wanted.weights, key=lambda model: wanted.weights[model])
        if (size := wanted.weights[largest]) > self.budget:
            return (
                f"the weights of {largest} take {gigabytes(size)}, and those of loaded models may take "
                f"{gigabytes(self.budget)}: export it in a smaller precision, use a machine with more memory, or say "
                "with --weights-memory that there is more"
            )
        needed = sum({**loaded, **wanted.weights}.values())
        if not self.swaps and needed > self.budget:
            return (
                f"the weights would take {gigabytes(needed)} with those that are loaded, and may take "
                f"{gigabytes(self.budget)}: start again, with --residency auto or swap"
            )
        return None


class Machine:
    """The memory that weights and jobs share.

    Args:
        gpu: None where models run on the CPU.
        available: bytes that a machine without a GPU has left.
    """

    def __init__(self, gpu: Gpu | None, available: int) -> None:
        self._gpu = gpu
        self._available = available

    @classmethod
    def here(cls) -> "Machine":
        return cls(find_gpu(), available_bytes())

    def budget(self, wanted: Collection[Wanted]) -> tuple[int, str]:
        """Bytes that weights may take beside a job of the default size, and how that comes about."""
        if self._gpu is None:
            job = max((one.need.total for one in wanted), default=0)
            left = int(_USED_FRACTION * self._available)
            how = f"of the {gigabytes(self._available)} that are available, {_USED_FRACTION:.0%} are used"
        else:
            job = max((_on_gpu(one) for one in wanted), default=0)
            contexts = 1 + max((len(one.weights) for one in wanted), default=0)
            left = self._gpu.bytes - contexts * _CONTEXT_BYTES - _WORKSPACE_BYTES
            how = (
                f"{self._gpu.name} has {gigabytes(self._gpu.bytes)}, {gigabytes(self._gpu.bytes - left)} for processes"
            )
        return max(0, left - job), f"{how}, {gigabytes(job)} for a job of the default size"


def decide(
    choice: Choice, limit: int | None, wanted: Collection[Wanted], machine: "Machine | None" = None
) -> Residency:
    """How to load these checkpoints.

    Args:
        limit: bytes that weights may take; None takes what the machine has for them.
    """
    if limit is None:
        budget, how = (machine or Machine.here()).budget(wanted)
    else:
        budget, how = limit, "--weights-memory"
    weights = {model: size for one in wanted for model, size in one.weights.items()}
    everything = sum(weights.values())
    swaps = choice is Choice.SWAP or (choice is Choice.AUTO and everything > budget)
    what = "models come and go" if swaps else "every model stays loaded"
    reason = (
        f"residency {Choice.SWAP if swaps else Choice.RESIDENT}: {what}; the weights take {gigabytes(everything)} and "
        f"may take {gigabytes(budget)} ({how})"
    )
    return Residency(budget, swaps, reason)


def parse_size(text: str, option: str) -> int:
    """Bytes, of `24GB` or `24GiB`. Raises SetupError naming the option."""
    match = _SIZE.fullmatch(text.strip())
    size = int(float(match[1]) * _UNITS[match[2].upper()]) if match else 0
    if size < 1:
        raise SetupError(f"{option}: must be a size such as 24GB or 24GiB, not {text!r}.")
    return size


def find_gpu() -> Gpu | None:
    """The first GPU that nvidia-smi shows; None where there is none."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return None
    query = [program, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
        name, mebibytes = done.stdout.splitlines()[0].rsplit(",", 1)
        return Gpu(name.strip(), int(mebibytes) * 2**20)
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None


def gigabytes(size: int) -> str:
    """Of 10^9 bytes; what is small in MB."""
    return f"{size / 10**9:,.1f} GB" if size >= 10**9 else f"{size / 10**6:,.1f} MB"


def _on_gpu(wanted: Wanted) -> int:
    """What a job takes there: memory is given back between calls."""
    largest = max(wanted.need.calls.values(), default=0)
    share = 0.5 if wanted.card.precision in _HALF else 1.0
    return wanted.need.held + int(share * (1 + _MARGIN) * largest)
