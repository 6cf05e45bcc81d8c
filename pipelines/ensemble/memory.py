"""How much memory a job needs, and whether the machine has it.

The models of a checkpoint run in processes of their own that compute one call at a time, so the needs of jobs do not
simply add up: each model's process needs what its largest call takes, and each job holds its latents, its share of the
VAE's caches, and frames on their way to the client.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path

import psutil

from pipelines.latents import latents_shape
from protocol.model_card import ModelCard
from protocol.sampling import Spec
from runtime.bands import BAND_BYTES, BandPlan
from runtime.gpu import MARGIN

_FLOAT = 4
_LATENT_COPIES = 12
"""noise, solver history, guidance branches, and the shared memory that the tensors of a step travel through"""
_FRAME_BYTES = 3 * (3 * _FLOAT + 2)
"""per pixel of the frames that are under way: three copies in float32 and two in 8 bits"""
_PLAN_MARGIN = 1.2
_PLAN_BESIDES = 64 * 2**20
"""buffers of ONNX Runtime and gaps in the heap, which no plan knows; measured up to 85 MiB"""
_USED_FRACTION = 0.8
"""of what is available; the rest is for caches, files and what nobody counted"""


@dataclass(frozen=True)
class MemoryNeed:
    """Bytes that a job needs."""

    calls: Mapping[str, int] = field(default_factory=dict)
    """by Triton model: what its largest call takes while it computes"""
    held: int = 0
    """from its start to its end"""

    @property
    def total(self) -> int:
        return self.held + sum(self.calls.values())


def total(needs: Collection[MemoryNeed]) -> int:
    """Bytes that these jobs need together."""
    calls: Counter[str] = Counter()
    for need in needs:
        for model, size in need.calls.items():
            calls[model] = max(calls[model], size)
    return sum(calls.values()) + sum(need.held for need in needs)


class MemoryEstimate:
    """Estimates what jobs need, from their models' cards and the plans of their VAEs.

    Args:
        max_step_rows, max_step_elements: as of `StepBatcher`.
        plans: by Triton model, the VAEs' decoders and encoders.
        on_gpu: models run on a GPU, where half precision takes half, and no frame is cut into bands.
    """

    def __init__(
        self, max_step_rows: int, max_step_elements: int, plans: Mapping[str, BandPlan], on_gpu: bool = False
    ) -> None:
        self._max_step_rows = max_step_rows
        self._max_step_elements = max_step_elements
        self._plans = plans
        self._on_gpu = on_gpu

    def of(self, params: Spec, card: ModelCard) -> MemoryNeed:
        """What one job needs at most; nothing where the card does not say what its models take."""
        if card.memory is None:
            return MemoryNeed()
        _, channels, frames, height, width = latents_shape(params, card)
        patch = card.limits.size_multiple // card.latents.spatial_stride
        tokens = frames * (height // patch) * (width // patch) + card.max_sequence_length
        rows = max(1, min(self._max_step_rows, self._max_step_elements // (channels * frames * height * width)))
        parts = card.components
        calls = {parts.text_encoder: card.memory.text, parts.transformer: rows * tokens * card.memory.step_per_token}
        if parts.transformer_2 is not None:
            calls[parts.transformer_2] = calls[parts.transformer]
        vaes = [parts.vae]
        if parts.vae_encoder is not None and params.image is not None:
            vaes.append(parts.vae_encoder)
        caches = 0
        for vae in vaes:
            budget = None if self._on_gpu else BAND_BYTES
            calls[vae], kept = vae_bytes(self._plans[vae], height, width, frames, budget)
            caches = max(caches, kept)  # the encoder is done before the decoder begins
        frames_under_way = min(params.num_frames, 2 * card.latents.temporal_stride)
        pixels = params.width * params.height * frames_under_way
        held = caches + _LATENT_COPIES * _FLOAT * prod((channels, frames, height, width)) + _FRAME_BYTES * pixels
        if self._on_gpu:
            in_half = dict.fromkeys(calls, card.precision != "float32")
            in_half |= dict.fromkeys(vaes, (card.vae_precision or card.precision) != "float32")
            calls = {model: int((1 + MARGIN) * size / (2 if in_half[model] else 1)) for model, size in calls.items()}
        return MemoryNeed(calls, held)


def vae_bytes(plan: BandPlan, height: int, width: int, frames: int, budget: int | None = BAND_BYTES) -> tuple[int, int]:
    """What a VAE's largest call takes for a video of that number of latents, and what it keeps from call to call.

    Args:
        budget: see `BandPlan.heights`.
    """
    kept = plan.held_bytes(height, width) if frames > 1 else 0
    call = plan.peak_bytes(height, width, frames, budget) - kept
    return int(_PLAN_MARGIN * call) + _PLAN_BESIDES, int(_PLAN_MARGIN * kept)


class MemoryBudget:
    """What jobs may need together.

    Args:
        limit_bytes: None takes most of what is available when `bytes` is first asked for, which should be when all
            models are loaded.
        to_come: bytes that weights will take which are not loaded at that moment.
    """

    def __init__(self, limit_bytes: int | None, to_come: Callable[[], int] = lambda: 0) -> None:
        self._limit_bytes = limit_bytes
        self._to_come = to_come

    @cached_property
    def bytes(self) -> int:
        if self._limit_bytes is not None:
            return self._limit_bytes
        return max(0, int(_USED_FRACTION * available_bytes()) - self._to_come())


_CGROUP = Path("/sys/fs/cgroup")
_LIMITS = (("memory.max", "memory.current"), ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"))
"""cgroup versions 2 and 1: the limit, and what is used of it"""


def available_bytes(cgroup: Path = _CGROUP) -> int:
    """What the machine, or the container that this process is in, has left."""
    available = psutil.virtual_memory().available
    for limit, used in _LIMITS:
        try:
            left = int((cgroup / limit).read_text()) - int((cgroup / used).read_text())
        except (OSError, ValueError):  # another version, or "max": no limit
            continue
        available = min(available, max(0, left))
    return available
