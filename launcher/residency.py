"""Whether every model stays loaded, or models come and go: decided before any is loaded, by what memory there is."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np

from launcher.errors import SetupError
from pipelines.ensemble.memory import MemoryEstimate, MemoryNeed, available_bytes
from protocol.errors import PipelineError
from protocol.memory_size import parse_memory_size
from protocol.model_card import ModelCard
from protocol.placement import Device
from protocol.repository import VERSION
from protocol.residency import weights_bytes
from protocol.resolve import parse, resolve
from runtime.bands import BandPlan
from runtime.gpu import CONTEXT_BYTES, WORKSPACE_BYTES, Gpu, find_gpu
from runtime.model_config import engines_in_use
from runtime.placement import sampling_device

_USED_FRACTION = 0.8
"""of the memory that a machine has left; the rest is for caches, files and what nobody counted"""
_GUIDANCE_ROWS = 2


class Choice(StrEnum):
    """What `--residency` takes."""

    AUTO = "auto"
    RESIDENT = "resident"
    SWAP = "swap"


@dataclass(frozen=True)
class Wanted:
    """What is to be loaded."""

    card: ModelCard
    weights: Mapping[str, int]
    """bytes, by Triton model"""
    need: MemoryNeed
    """of a job of the default size"""
    streaming: Collection[str] = ()
    """Triton models whose TensorRT engines take weights from host memory where the budget is too small for them"""

    @classmethod
    def of(
        cls, card: ModelCard, repository: Path, on_gpu: bool, engine: str | None = None, device: str | None = None
    ) -> "Wanted":
        """Raises OSError or ValueError where the checkpoint's files cannot be read.

        Args:
            engine, device: see `runtime.model_config.asked_for`.
        """
        folders = {model: repository / model / VERSION for model in card.components.names()}
        weights = {model: weights_bytes(folder) for model, folder in folders.items()}
        vaes = [model for model in (card.components.vae, card.components.vae_encoder) if model is not None]
        plans = {model: BandPlan.read(folders[model]) for model in vaes}
        estimate = MemoryEstimate(_GUIDANCE_ROWS, 2**62, plans, on_gpu)
        width, height = card.defaults.width, card.defaults.height
        image = np.zeros((height, width, 3), np.uint8) if card.takes_image else None
        try:
            need = estimate.of(resolve(parse({"prompt": "a", "image": image}), card), card)
        except PipelineError:  # a default that the model cannot do: its jobs say their own size
            need = MemoryNeed()
        engines = {model: engines_in_use(repository / model, engine, device) for model in (folders if on_gpu else ())}
        streaming = [model for model, plans in engines.items() if plans is not None and plans.streams_weights]
        return cls(card, weights, need, streaming)


@dataclass(frozen=True)
class Residency:
    """How weights are loaded."""

    budget: int
    """bytes that the weights of loaded models may take together"""
    swaps: bool
    reason: str
    """a sentence with the numbers"""
    job_bytes: int | None = None
    """of a GPU's memory, that jobs may take together; None on a CPU"""

    def why_not(self, wanted: Wanted, loaded: Mapping[str, int]) -> str | None:
        """Why a checkpoint cannot be served, or None.

        Args:
            loaded: the weights of what is served already, where it stays loaded.
        """
        whole = {model: size for model, size in wanted.weights.items() if model not in wanted.streaming}
        largest = max(whole, key=lambda model: whole[model], default=None)
        if largest is not None and (size := whole[largest]) > self.budget:
            return (
                f"the weights of {largest} take {gigabytes(size)}, and those of loaded models may take "
                f"{gigabytes(self.budget)}: export it in a smaller precision, build TensorRT engines that stream them "
                "(`python -m export.engines --weight-streaming`), use a machine with more memory, or say with "
                "--weights-memory that there is more"
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
    def here(cls, device: Device | None) -> "Machine":
        """Raises EngineUnusable: there is no such GPU that can be used."""
        used = sampling_device(device)
        return cls(find_gpu(used.index) if used.is_gpu else None, available_bytes())

    @property
    def has_gpu(self) -> bool:
        """Models run on one."""
        return self._gpu is not None

    def room(self, wanted: Collection[Wanted]) -> tuple[int, str]:
        """Bytes for weights and jobs, and how that comes about."""
        if self._gpu is None:
            how = f"of the {gigabytes(self._available)} that are available, {_USED_FRACTION:.0%} are used"
            return int(_USED_FRACTION * self._available), how
        contexts = 1 + max((len(one.weights) for one in wanted), default=0)
        processes = contexts * CONTEXT_BYTES + WORKSPACE_BYTES
        total = self._gpu.memory_bytes
        how = f"{self._gpu.name} has {gigabytes(total)}, {gigabytes(processes)} for processes"
        return max(0, total - processes), how


def decide(choice: Choice, limit: int | None, wanted: Collection[Wanted], machine: Machine) -> Residency:
    """How to load these checkpoints.

    Args:
        limit: bytes that weights may take; None takes what the machine has for them beside a job of the default size.
    """
    room, how = machine.room(wanted)
    job = max((one.need.total for one in wanted), default=0)
    budget = max(0, room - job) if limit is None else limit
    how = f"{how}, {gigabytes(job)} for a job of the default size" if limit is None else "--weights-memory"
    weights = {model: size for one in wanted for model, size in one.weights.items()}
    everything = sum(weights.values())
    swaps = choice is Choice.SWAP or (choice is Choice.AUTO and everything > budget)
    what = "models come and go" if swaps else "every model stays loaded"
    reason = (
        f"residency {Choice.SWAP if swaps else Choice.RESIDENT}: {what}; the weights take {gigabytes(everything)} and "
        f"may take {gigabytes(budget)} ({how})"
    )
    loaded = min(everything, budget) if swaps else everything
    return Residency(budget, swaps, reason, max(0, room - loaded) if machine.has_gpu else None)


def parse_size(text: str, option: str) -> int:
    """Bytes, of `24GB` or `24GiB`. Raises SetupError naming the option."""
    size = parse_memory_size(text)
    if size is None or size < 1:
        raise SetupError(f"{option}: must be a size such as 24GB or 24GiB, not {text!r}.")
    return size


def gigabytes(size: int) -> str:
    """Of 10^9 bytes; what is small in MB."""
    return f"{size / 10**9:,.1f} GB" if size >= 10**9 else f"{size / 10**6:,.1f} MB"
