"""From a job to its files: follow it to its end, fetch what was made, say what it is."""

import json
from pathlib import Path

import typer

from cli.ending import failed, say
from cli.following import follow
from cli.job import Job
from cli.output_files import STDOUT, OutputError, check_output, write_files
from cli.progress import progress_of
from cli.server import ConnectionLost, Server, Unreachable
from protocol.printable import printable


def wait(server: Server, job_id: str, *, previews: bool) -> Job:
    """The job when it is completed; stderr tells how far it is.

    Raises:
        typer.Exit: it has failed or was cancelled, or the server was lost, which is said.
    """
    try:
        with progress_of(job_id, previews=previews) as progress:
            for event in follow(server, job_id, previews=progress.previews):
                progress.show(event)
        job = server.job(job_id)
    except (ConnectionLost, Unreachable) as error:
        raise failed(f"{error.message}, and the job may go on: tritonreel jobs get {job_id}") from None
    check_completed(job)
    return job


def check_wishes(output: str | None, count: int, *, as_json: bool, opens: bool) -> None:
    """Before anything is asked for. Raises typer.BadParameter where `count` files could not be written so."""
    if output == STDOUT and (as_json or opens):
        raise typer.BadParameter("has the file: leave out --json and --open", param_hint="-o -")
    try:
        check_output(output, count)
    except OutputError as error:
        raise typer.BadParameter(str(error), param_hint="--output") from None


def check_completed(job: Job) -> None:
    """Raises typer.Exit, and says why, where it has no files."""
    if job.fields.error is not None:
        raise failed(job.fields.error.message, job.fields.error.param)
    if job.fields.status != "completed":
        raise failed(f"{job.id} is {job.fields.status.replace('_', ' ')}")


def finish(server: Server, job: Job, output: str | None, *, as_json: bool, opens: bool) -> None:
    """Write the files of a completed job, and say what they are: on stdout, unless that has the file.

    Args:
        output: see `write_files`.
        as_json: print the job, as the server says it, instead.
        opens: show the first with the system's viewer.
    """
    for warning in job.fields.warnings:
        say(f"Warning: {warning}")
    paths: list[Path] = []
    try:
        for file, path in write_files(server, job, output):
            if path is not None:
                paths.append(path)
            if path is not None and not as_json:
                seed = "" if file.seed is None else f", seed {file.seed}"
                typer.echo(printable(f"{path}: {job.outline}{seed}"))
    except (ConnectionLost, Unreachable) as error:
        raise failed(f"{error.message}; it is done, and kept for a while: tritonreel jobs get {job.id}") from None
    if as_json and output != STDOUT:
        typer.echo(as_text(job.object))
    if opens and paths:
        typer.launch(str(paths[0]))


def as_text(answer: object) -> str:
    """JSON of what a server says, in ASCII: it cannot command a terminal."""
    return json.dumps(answer, indent=2)
