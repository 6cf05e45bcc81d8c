"""Finds what lives and yet does nothing, says so, and kills it: then it is brought back like anything that died."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Thread
from types import TracebackType
from typing import Self

import psutil

from launcher import shared_memory
from launcher.frontend_process import FrontendProcess
from launcher.own_time import Durations, OwnTime
from launcher.prober import Prober
from launcher.status_file import StatusFile
from launcher.stub_processes import read_stub
from launcher.triton_server import TritonServer

logger = logging.getLogger(__name__)

_INTERVAL_SECONDS = 0.25
_SCAN_SECONDS = 1.0
"""how often new processes are looked for"""
_STOPPED_MODEL_SECONDS = 1.0
"""Triton gives a stopped model process up after some 1.5 s, and crashes when that goes on and answers after all"""
_STOPPED_SECONDS = 5.0
"""any other, and what a debugger has stopped"""
_SILENT_SECONDS = 5.0
"""after this long /health says so"""
_HUNG_SECONDS = 15.0
"""after this long it is killed; what only waited for memory or for its turn has gone on by then"""

_STOPPED = (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)


def _no_sign() -> None:
    return None


@dataclass(frozen=True)
class _Part:
    """A process that is watched."""

    name: str
    process: psutil.Process
    stopped_seconds: float = _STOPPED_SECONDS
    sign: Callable[[], int | None] = _no_sign
    """changes as long as it lives; None before the first sign"""
    is_known: bool = True
    """False for a helper that one of the others has started, and for what has only just been forked"""


class HangWatch:
    """Watches tritonserver, its models' processes and the frontend. A context manager: looks from a thread of its own.

    The signs of life: no process is stopped (SIGSTOP, a debugger); tritonserver and the frontend answer HTTP; a model's
    process renews its heartbeat. None of them waits for what a process computes.
    """

    def __init__(self, triton: TritonServer, frontend: FrontendProcess | None, status: StatusFile) -> None:
        self._triton = triton
        self._frontend = frontend
        self._status = status
        self._clock = OwnTime(longest_round=2 * _INTERVAL_SECONDS)
        self._durations = Durations(self._clock)
        self._server_prober = Prober(triton.answers)
        self._frontend_prober = Prober(frontend.answers) if frontend else None
        self._parts: dict[psutil.Process, _Part] = {}
        self._missing: dict[str, str] = {}
        self._next_scan = 0.0
        self._end = Event()
        self._thread = Thread(target=self._run, name="hang watch", daemon=True)

    def __enter__(self) -> Self:
        for prober in filter(None, (self._server_prober, self._frontend_prober)):
            prober.start()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        for prober in filter(None, (self._server_prober, self._frontend_prober)):
            prober.stop()

    def _run(self) -> None:
        while not self._end.wait(_INTERVAL_SECONDS):
            self._clock.tick()
            if self._clock.now >= self._next_scan:
                self._scan()
                # What is missing is hoped for: it is seen at once when it is back.
                self._next_scan = self._clock.now + (0.0 if self._missing else _SCAN_SECONDS)
            self._status.observe(self._missing | self._look(), self._triton.swap.models)

    def _look(self) -> dict[str, str]:
        """What is the matter with the processes that there are: part -> reason. Kills those past help."""
        reasons = {}
        for part in self._parts.values():
            try:
                reason = self._trouble(part)
            except psutil.NoSuchProcess:
                self._next_scan = 0.0
                continue
            if reason is not None and part.is_known:
                reasons[part.name] = reason
        return reasons

    def _trouble(self, part: _Part) -> str | None:
        state = part.process.status()
        if state == psutil.STATUS_ZOMBIE:
            raise psutil.ZombieProcess(part.process.pid)
        stopped = state in _STOPPED
        lasted = self._durations.of((part.process, "stopped"), stopped)
        silent = self._silence(part)
        if stopped:
            if lasted >= (part.stopped_seconds if state == psutil.STATUS_STOPPED else _STOPPED_SECONDS):
                self._kill(part, "is stopped")
            return "its process is stopped"
        if silent >= _HUNG_SECONDS:
            self._kill(part, f"has given no sign of life for {silent:.0f} s")
        return f"its process has given no sign of life for {silent:.0f} s" if silent >= _SILENT_SECONDS else None

    def _silence(self, part: _Part) -> float:
        sign = part.sign()
        return 0.0 if sign is None else self._durations.of((part.process, "sign"), sign)

    def _kill(self, part: _Part, reason: str) -> None:
        logger.error("the process of %s %s; killing it (pid %d)", part.name, reason, part.process.pid)
        part.process.kill()

    def _scan(self) -> None:
        """Look for processes that started or ended."""
        parts = {}
        expected = self._triton.models_there
        for process in psutil.Process().children(recursive=True):
            known = self._parts.get(process)
            parts[process] = known if known and known.is_known else self._part(process)
        self._parts = parts
        self._durations.keep({(process, kind) for process in parts for kind in ("stopped", "sign")})
        names = {part.name for part in parts.values() if _exists(part.process)}
        expected &= self._triton.models_there  # one that came or went meanwhile may or may not have been seen
        missing = [name for name in map(_model, sorted(expected)) if name not in names]
        self._missing = dict.fromkeys(missing, "it has no process")

    def _part(self, process: psutil.Process) -> _Part:
        if process.pid == self._triton.running_pid:
            return _Part("tritonserver", process, sign=_answers(self._server_prober))
        if self._frontend and self._frontend_prober and process.pid == self._frontend.running_pid:
            return _Part("the frontend", process, sign=_answers(self._frontend_prober))
        stub = read_stub(process)
        if stub is not None:
            return _Part(_model(stub.model), process, _STOPPED_MODEL_SECONDS, sign=self._heartbeats(process))
        return _Part(f"a helper ({process.pid})", process, is_known=False)

    def _heartbeats(self, process: psutil.Process) -> Callable[[], int | None]:
        file = shared_memory.heartbeat_file(self._triton.shm_prefix, process.pid)
        return lambda: shared_memory.touched_at(file)


def _model(name: str) -> str:
    return f"model {name}"


def _exists(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _answers(prober: Prober) -> Callable[[], int | None]:
    """The answers since now: a process that starts has given none yet."""
    before = prober.answers
    return lambda: prober.answers if prober.answers > before else None
