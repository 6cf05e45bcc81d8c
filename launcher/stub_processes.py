"""The processes in which tritonserver runs Python models, one per model instance."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import psutil

from launcher.shared_memory import check_prefix

_SERVER = "tritonserver"
_STUB = "triton_python_backend_stub"

PREFIX_ARGUMENT = "--backend-config=python,shm-region-prefix-name="
"""tritonserver's option, up to the value"""


@dataclass(frozen=True)
class StubProcess:
    model: str
    region: str
    """name of its shared-memory region in /dev/shm"""
    process: psutil.Process

    @property
    def alive(self) -> bool:
        """False as soon as it ended, even while tritonserver has not reaped it."""
        try:
            return self.process.is_running() and self.process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


def live_stubs(server_pid: int) -> dict[str, list[StubProcess]]:
    """The running model processes of one tritonserver, by model name."""
    found: dict[str, list[StubProcess]] = defaultdict(list)
    try:
        children = psutil.Process(server_pid).children()
    except psutil.NoSuchProcess:
        return found
    for child in children:
        stub = read_stub(child)
        if stub is not None:
            found[stub.model].append(stub)
    return found


def kill_leftovers(prefix: str) -> int:
    """Kill the tritonserver of a launch and its model processes, whoever is their parent now; how many there were.

    `prefix`: of the launch's shared-memory regions. Raises ValueError for anything else, before it kills.
    """
    check_prefix(prefix)
    victims = []
    for process in psutil.process_iter():
        try:
            if _belongs_to(process.cmdline(), prefix):
                process.kill()
                victims.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    psutil.wait_procs(victims, timeout=5.0)
    return len(victims)


def _belongs_to(command: list[str], prefix: str) -> bool:
    program = Path(command[0]).name if command else ""
    if program == _STUB:
        return len(command) > 2 and command[2].startswith(prefix)
    return program == _SERVER and PREFIX_ARGUMENT + prefix in command


def read_stub(process: psutil.Process) -> StubProcess | None:
    """What `process` runs; None for other programs and for a zombie, which has no command line any more."""
    try:
        # <stub> <repository>/<model>/<version>/model.py <region> <sizes> ... <instance> <backend>
        command = process.cmdline()
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return None
    if len(command) < 3 or Path(command[0]).name != _STUB:
        return None
    return StubProcess(model=Path(command[1]).parent.parent.name, region=command[2], process=process)
