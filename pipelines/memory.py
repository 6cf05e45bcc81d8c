"""How much memory a job needs, and whether the machine has it.

The models of a checkpoint run in processes of their own that compute one call at a time, so the needs of jobs do not
simply add up: each model's process needs what its largest call takes, and each job holds its latents, its share of the
VAE's caches, and frames on their way to the client.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

_LATENT_COPIES = 12
"""noise, solver history, guidance branches, and the shared memory that a step's tensors travel through; float32"""
_FRAME_BYTES = 3 * (4 + 4 + 4 + 1 + 1)
"""per pixel of the frames that are under way: three copies in float32 and two in 8 bits"""


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
