"""Exports components in processes of their own, as many at a time as there are cores and memory for."""

import ctypes
import multiprocessing
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.context import ForkServerContext, ForkServerProcess
from threading import Thread

import psutil

from export.component import Exported, Task
from export.errors import ExportError
from export.exporter import OnStage, TaskDone, TasksDone, run_in_this_process
from export.options import Options

_BYTES = 3 * 2**29
"""that exporting a component takes at most, whatever its size: its weights stay in files"""
_LARGE = 2**30
"""bytes of weights; more than one such component at a time would be no faster, and take more memory"""
_PR_SET_PDEATHSIG = 1
_M_MMAP_THRESHOLD = -3

Message = str | Exported | ExportError
"""what is being done, or what became of a task"""


class Workers:
    """A `RunTasks` in several processes.

    Args:
        count: processes at a time at most; None for one per core.
    """

    def __init__(self, count: int | None = None) -> None:
        self._count = count or len(os.sched_getaffinity(0))
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._running: dict[Connection, _Worker] = {}

    def __call__(self, groups: Sequence[Sequence[Task]], options: Options, on_stage: OnStage) -> TasksDone:
        try:
            yield from self._run(groups, options, on_stage)
        finally:
            for worker in self._running.values():
                worker.process.kill()
                worker.process.join()
            self._running.clear()

    def _run(self, groups: Sequence[Sequence[Task]], options: Options, on_stage: OnStage) -> TasksDone:
        waiting = list(groups)
        while waiting or self._running:
            while waiting and self._has_room_for(waiting[0]):
                self._start(waiting.pop(0), options)
            for connection in wait(list(self._running)):
                assert isinstance(connection, Connection)
                worker = self._running[connection]
                try:
                    message: Message = connection.recv()
                except EOFError:
                    del self._running[connection]
                    worker.process.join()
                    yield from worker.lost()
                    continue
                if isinstance(message, str):
                    worker.stage = message
                    on_stage("; ".join(one.stage for one in self._running.values() if one.stage))
                else:
                    yield TaskDone(worker.tasks.pop(0), message)

    def _has_room_for(self, group: Sequence[Task]) -> bool:
        if not self._running:
            return True
        if any(map(_is_large, [group, *(worker.tasks for worker in self._running.values())])):
            return False
        needed = _BYTES * (len(self._running) + 1)
        return len(self._running) < self._count and needed <= _available_bytes()

    def _start(self, group: Sequence[Task], options: Options) -> None:
        receiver, sender = self._context.Pipe(duplex=False)
        cores = len(os.sched_getaffinity(0))
        threads = cores if _is_large(group) else max(1, cores // self._count)
        process = self._context.Process(target=_work, args=(sender, group, options, threads), daemon=True)
        process.start()
        sender.close()
        self._running[receiver] = _Worker(process, list(group))


@dataclass
class _Worker:
    """A process that exports a group of tasks."""

    process: ForkServerProcess
    tasks: list[Task]
    """those that are not done"""
    stage: str = field(default="")

    def lost(self) -> Iterator[TaskDone]:
        """What it has not done when it has ended."""
        code = self.process.exitcode
        for task in self.tasks:
            reason = f"exporting {task.part.model} ended with status {code}"
            if code == -signal.SIGKILL:
                reason = f"exporting {task.part.model} was killed; there may have been too little memory"
            yield TaskDone(task, ExportError(reason))


def _work(sender: Connection, group: Sequence[Task], options: Options, threads: int) -> None:
    """The life of a worker."""
    library = ctypes.CDLL(None)
    library.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    library.mallopt(_M_MMAP_THRESHOLD, 2**20)  # memory that is freed goes back to the system
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too; its parent kills it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    Thread(target=_end_with_parent, daemon=True).start()
    import torch

    from export.quiet import quiet_libraries

    quiet_libraries()
    torch.set_num_threads(threads)
    try:
        for done in run_in_this_process([group], options, sender.send):
            sender.send(done.result)
    except BrokenPipeError:
        pass  # its parent was killed, and nobody hears it any more


def _end_with_parent() -> None:
    """The fork server, which this is a child of, may outlive the process that uses it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _is_large(group: Sequence[Task]) -> bool:
    return any(task.weight_bytes > _LARGE for task in group)


def _available_bytes() -> int:
    return psutil.virtual_memory().available
