"""`python -m benchmarks.gpu_check`: prepare the checks, run them, or run one."""

import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.gpu_check.prepared import Prepared
from benchmarks.gpu_check.report import RESULTS_FILE, Result, write_report
from launcher.settings import PROJECT_ROOT

_CHECKS = ("machine", "toys", "steps", "vae", "copies", "server")
"""the most valuable first"""
_GRACE_SECONDS = 10.0
"""of the time that there is, for what comes after the last check"""

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, no_args_is_help=True)

Folder = Annotated[Path, typer.Argument(help="Folder to work in.")]


@app.command()
def prepare(
    folder: Folder,
    device: Annotated[str, typer.Option(help="What it is prepared for: cuda, or cpu to try the checks.")] = "cuda",
    small: Annotated[bool, typer.Option(help="Tiny models, to try the checks.")] = False,
    checkpoint: Annotated[list[Path] | None, typer.Option(help="Instead of the bundled toys; may be repeated.")] = None,
) -> None:
    """Export and trace what the checks need, which takes no GPU; about ten minutes.

    The folder can then be carried to the machine with the GPU.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    Prepared(folder, device, small).make(checkpoint or sorted((PROJECT_ROOT / "toy" / "checkpoints").iterdir()))


@app.command()
def run(
    folder: Folder,
    seconds: Annotated[float, typer.Option(min=30, help="For all of them; what is not done then is stopped.")] = 540,
) -> None:
    """Run the checks on what was prepared, write what they find as they go, and print it.

    The first are worth the most. One that fails, or takes until the time is over, says so in the report.
    """
    if not Prepared.is_in(folder):
        typer.echo(
            f"{folder} holds nothing that was prepared: python -m benchmarks.gpu_check prepare {folder}", err=True
        )
        raise typer.Exit(1)
    deadline = time.monotonic() + seconds - _GRACE_SECONDS
    (folder / RESULTS_FILE).write_text("")
    for name in _CHECKS:
        left = deadline - time.monotonic()
        if left <= 0:
            Result(check=name, error="there was no time left").append(folder)
            continue
        print(f"{name}, {left:.0f} s left", flush=True)
        command = [sys.executable, "-m", "benchmarks.gpu_check", "check", name, str(folder)]
        try:
            done = subprocess.run(command, cwd=PROJECT_ROOT, timeout=left)
        except subprocess.TimeoutExpired:
            Result(check=name, error="it was stopped when the time was over").append(folder)
        else:
            if done.returncode < 0:
                Result(check=name, error=f"its process was killed by signal {-done.returncode}").append(folder)
        write_report(folder)
    print(write_report(folder).read_text())


@app.command()
def check(name: str, folder: Folder) -> None:
    """Run one check in this process, and add what it finds to the results."""
    try:
        # whatever is missing on a machine fails those that need it
        from benchmarks.gpu_check.checks import CHECKS

        for found in CHECKS[name](Prepared.read(folder)):
            Result(check=name, found=found).append(folder)
    except Exception:
        Result(check=name, error=traceback.format_exc()).append(folder)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    app(prog_name="python -m benchmarks.gpu_check")
