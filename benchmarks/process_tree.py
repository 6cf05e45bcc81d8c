"""CPU time and memory of a process together with its descendants."""

import threading
from types import TracebackType
from typing import Self

import psutil

SAMPLE_SECONDS = 0.05


def tree(pid: int) -> list[psutil.Process]:
    """The process and its descendants that live now."""
    root = psutil.Process(pid)
    return [root, *root.children(recursive=True)]


def cpu_seconds(pid: int) -> float:
    """CPU time used so far, that of descendants which have ended included."""
    total = 0.0
    for process in tree(pid):
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total


def memory_bytes(pid: int) -> int:
    """Memory in use. A page that several processes share counts once, split between them (PSS)."""
    total = 0
    for process in tree(pid):
        try:
            total += process.memory_full_info().pss
        except psutil.NoSuchProcess:
            continue
    return total


class PeakMemory:
    """A context manager that samples the memory of a process tree in a thread and keeps the highest value."""

    def __init__(self, pid: int) -> None:
        self.bytes = 0
        self._pid = pid
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            last = self._done.is_set()
            self.bytes = max(self.bytes, memory_bytes(self._pid))
            if last:
                return
            self._done.wait(SAMPLE_SECONDS)
