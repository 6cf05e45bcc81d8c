"""Shared-memory regions of model processes.

tritonserver makes one region a model process and removes it when the process ends in order. After a kill it stays
in /dev/shm until the machine restarts, so every launch names its regions with a prefix of its own and removes them.
The heartbeats of those processes lie beside the regions: there touching a file costs nothing and needs no disk.
"""

import contextlib
import os
import re
import secrets
from pathlib import Path

SHM = Path("/dev/shm")


def new_prefix() -> str:
    """A prefix that no other launch uses, alive or dead."""
    return f"tritonreel_{os.getpid()}_{secrets.token_hex(4)}_"


def check_prefix(prefix: str) -> None:
    """Raises ValueError unless `new_prefix` made it: what is removed or killed by prefix is certainly ours."""
    if not re.fullmatch(r"tritonreel_[0-9]+_[0-9a-f]{8}_", prefix):
        raise ValueError(f"not the prefix of a launch: {prefix!r}")


def regions(prefix: str) -> list[str]:
    check_prefix(prefix)
    return sorted(region.name for region in SHM.glob(f"{prefix}*"))


def make_private(prefix: str) -> None:
    """Close regions to other users, where the kernel did not let their makers be kept from opening them."""
    for region in regions(prefix):
        with contextlib.suppress(FileNotFoundError):
            (SHM / region).chmod(0o600)


def heartbeat_file(prefix: str, pid: int | None = None) -> Path:
    """What the model process `pid` touches as long as it lives; without a pid, the path up to it."""
    return SHM / f"{prefix}heartbeat_{'' if pid is None else pid}"


def touched_at(file: Path) -> int | None:
    """In nanoseconds; None where there is no such file."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return None


def unlink(region: str) -> None:
    (SHM / region).unlink(missing_ok=True)


def unlink_all(prefix: str) -> None:
    for region in regions(prefix):
        unlink(region)
