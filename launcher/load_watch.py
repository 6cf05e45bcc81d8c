"""Tells a model that takes long to load from one that hangs."""

import time
from collections.abc import Iterable

import psutil

from launcher.stub_processes import live_stubs

STALLED_SECONDS = 20.0
_LEAST_CPU_SECONDS = 0.1
_LEAST_READ_BYTES = 2**20


class LoadWatch:
    """Watches the processes of models that load: one that neither computes nor reads for a while hangs.

    Triton 2.51 can lose the start of a model's process on a machine that stalls for some seconds, and then waits
    for it for ever.
    """

    def __init__(self, server_pid: int) -> None:
        self._server_pid = server_pid
        self._marks: dict[str, tuple[float, float, int]] = {}
        """model -> when it was last seen to get on, and its CPU seconds and bytes read then"""

    def stalled(self, models: list[str]) -> list[str]:
        """Those of `models` that have not got on for STALLED_SECONDS."""
        now, stubs = time.monotonic(), live_stubs(self._server_pid)
        stalled = []
        for model in models:
            cpu, read = _work(stub.process for stub in stubs.get(model, []))
            since, cpu_then, read_then = self._marks.setdefault(model, (now, cpu, read))
            if cpu - cpu_then >= _LEAST_CPU_SECONDS or read - read_then >= _LEAST_READ_BYTES:
                self._marks[model] = (now, cpu, read)
            elif now - since > STALLED_SECONDS:
                stalled.append(model)
        return stalled


def _work(processes: Iterable[psutil.Process]) -> tuple[float, int]:
    """CPU seconds, and bytes read, from the disk cache or not."""
    cpu, read = 0.0, 0
    for process in processes:
        try:
            cpu += sum(process.cpu_times()[:2])
            read += process.io_counters().read_chars
        except psutil.Error:
            continue  # it has just ended
    return cpu, read
