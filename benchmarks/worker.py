"""A measurement in a process of its own, asked and answering in lines of JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.errors import WorkerFailed
from launcher.settings import PROJECT_ROOT

_STOP_SECONDS = 10.0


class Worker:
    """The parent's side: `python -m MODULE ARGUMENTS`, a context manager. Entered, the worker is ready to be asked."""

    def __init__(self, module: str, *arguments: object, log: Path) -> None:
        self._command = [sys.executable, "-m", module, *map(str, arguments)]
        self._log = log

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self) -> Self:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._command, cwd=PROJECT_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
            )
        try:
            self._read()
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            self._process.kill()
        try:
            self._process.communicate(timeout=_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def ask(self, **question: object) -> dict[str, Any]:
        """The worker's answer. Raises WorkerFailed, with the end of its log, when it died instead."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it died: reading tells
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            last_lines = "\n".join(self._log.read_text().splitlines()[-10:])
            raise WorkerFailed(f"{' '.join(self._command)} ended:\n{last_lines}\nIts log: {self._log}")
        answer: dict[str, Any] = json.loads(line)
        return answer


def serve(prepare: Callable[[], Callable[..., dict[str, Any]]]) -> None:
    """The worker's side: prepare, then answer questions until the parent closes the pipe.

    Args:
        prepare: loads what is needed, and returns what answers a question given as keyword arguments.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes to the log
    answer = prepare()
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(**json.loads(line))), file=answers, flush=True)
