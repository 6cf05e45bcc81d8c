"""What TensorRT says while it builds: kept for error messages, and for people who look at progress."""

import re
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import tensorrt

_KEPT_ERRORS = 8
_ERROR = 1
_LAYER = re.compile(r"^Name: (\S+), LayerType: (\w+)", re.MULTILINE)


class BuildLog(Protocol):
    """Of one process: TensorRT keeps the first logger that it is given."""

    errors: list[str]
    layers: list[tuple[str, str]]
    """name and kind of each layer of the engine that was built last"""

    def clear(self) -> None: ...


def make_log(trt: ModuleType) -> "tuple[BuildLog, tensorrt.ILogger]":
    """A log, as itself and as TensorRT wants it."""

    class Log(trt.ILogger):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.errors: list[str] = []
            self.layers: list[tuple[str, str]] = []

        def log(self, severity: "tensorrt.ILogger.Severity", msg: str) -> None:
            if int(severity) <= _ERROR and len(self.errors) < _KEPT_ERRORS:
                self.errors.append(msg)
            self.layers += _LAYER.findall(msg)

        def clear(self) -> None:
            self.errors.clear()
            self.layers.clear()

    log = Log()
    return log, log


def make_monitor(trt: ModuleType, on_progress: Callable[[str, int, int], None]) -> "tensorrt.IProgressMonitor":
    """Hears of each phase of a build.

    Args:
        on_progress: told the phase, how many of its steps are done, and how many there are.
    """

    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            trt.IProgressMonitor.__init__(self)
            self._steps: dict[str, int] = {}

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._steps[phase_name] = num_steps

        def step_complete(self, phase_name: str, step: int) -> bool:
            on_progress(phase_name, step + 1, self._steps.get(phase_name, step + 1))
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            self._steps.pop(phase_name, None)

    monitor: tensorrt.IProgressMonitor = Monitor()
    return monitor
