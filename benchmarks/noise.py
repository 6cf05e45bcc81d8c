"""Tells whether other programs disturbed a measurement."""

import os
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.process_tree import cpu_seconds

FOREIGN_LIMIT = 0.10
"""a measurement during which others used more than a tenth of a core is not clean"""

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class ForeignCpu:
    """A context manager that measures the CPU time of everything but this process and its descendants.

    Time that a hypervisor took away counts as foreign too. The kernel counts in hundredths of a second, so measure
    spans of a second and more.
    """

    def __init__(self) -> None:
        self.share = 0.0
        """foreign CPU time a second of wall time: 1.0 is one core"""

    def __enter__(self) -> Self:
        self._own = cpu_seconds(os.getpid())
        self._busy = busy_seconds(Path("/proc/stat").read_text())
        self._started = time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        wall = time.perf_counter() - self._started
        busy = busy_seconds(Path("/proc/stat").read_text()) - self._busy
        own = cpu_seconds(os.getpid()) - self._own
        self.share = max(0.0, busy - own) / wall


def busy_seconds(proc_stat: str) -> float:
    """CPU time of all cores since boot that was neither idle nor waiting for a disk, from the text of /proc/stat."""
    # user nice system idle iowait irq softirq steal; guest time, which follows, is part of user time
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, proc_stat.split("\n", 1)[0].split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _CLOCK_TICKS
