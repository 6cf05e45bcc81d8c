"""`tritonreel jobs`: what the server makes and has made."""

import time
from typing import Annotated

import typer

from cli.ending import INTERRUPTED, asking, failed, say
from cli.finish import as_text, check_completed, check_wishes, finish, wait
from cli.job import Job
from cli.options import URL, JsonOption, OpenOption, OutputOption, PreviewOption, UrlOption
from cli.tables import print_table
from protocol.printable import printable

jobs = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

_Id = Annotated[str, typer.Argument(metavar="ID", help="Of the job.")]
_PROMPT = 60
"""characters of it in a table"""


@jobs.callback(invoke_without_command=True)
def list_jobs(
    context: typer.Context,
    kind: Annotated[str | None, typer.Option(help="video or image.", show_default="both")] = None,
    status: Annotated[
        str | None,
        typer.Option(help="queued, in_progress, completed, failed or cancelled.", show_default="all"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Id of the model.", show_default="all")] = None,
    search: Annotated[str | None, typer.Option(help="A part of the prompt.", show_default="all")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many at most.")] = 20,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Those that are older than this one.", show_default="the newest")
    ] = None,
    as_json: JsonOption = False,
    url: UrlOption = URL,
) -> None:
    """List jobs, the newest first, and look after them.

    \b
    Examples:
      tritonreel jobs
      tritonreel jobs --status in_progress --kind video
      tritonreel jobs --search heron --limit 5
      tritonreel jobs watch ID
      tritonreel jobs get ID -o heron.mp4
      tritonreel jobs cancel ID
    """
    if context.invoked_subcommand is not None:
        return
    wanted = {"kind": kind, "status": status, "model": model, "search": search, "limit": limit, "after": after}
    with asking(url) as server:
        found, has_more = server.jobs(**wanted)
    if as_json:
        typer.echo(as_text([job.object for job in found]))
        return
    if not found:
        say("No jobs.")
        return
    print_table(("ID", "STATUS", "AGE", "MODEL", "SIZE", "PROMPT"), [_row(job) for job in found])
    if has_more:
        say(f"There are older ones: --after {found[-1].id}")


@jobs.command()
def show(job_id: _Id, url: UrlOption = URL) -> None:
    """Print all that the server says of a job, as JSON."""
    with asking(url) as server:
        typer.echo(as_text(server.job(job_id).object))


@jobs.command()
def get(
    job_id: _Id,
    output: OutputOption = None,
    preview: PreviewOption = True,
    open_file: OpenOption = False,
    as_json: JsonOption = False,
    url: UrlOption = URL,
) -> None:
    """Wait for a job where it is not done yet, and fetch its files.

    Ctrl-C stops the waiting, and not the job.
    """
    check_wishes(output, 1, as_json=as_json, opens=open_file)
    with asking(url) as server:
        job = server.job(job_id)
        check_wishes(output, job.fields.n, as_json=as_json, opens=open_file)
        try:
            if not job.has_ended:
                job = wait(server, job_id, previews=preview)
            check_completed(job)
            finish(server, job, output, as_json=as_json, opens=open_file)
        except KeyboardInterrupt:
            raise _left(job_id) from None


@jobs.command()
def watch(job_id: _Id, preview: PreviewOption = True, url: UrlOption = URL) -> None:
    """Follow a job to its end. Ctrl-C stops the watching, and not the job."""
    with asking(url) as server:
        try:
            job = wait(server, job_id, previews=preview)
        except KeyboardInterrupt:
            raise _left(job_id) from None
        typer.echo(printable(f"{job.id}: completed, {job.outline}"))


@jobs.command()
def cancel(job_id: _Id, url: UrlOption = URL) -> None:
    """Stop a job that waits or runs, before its next step."""
    with asking(url) as server:
        job = server.job(job_id)
        if job.has_ended:
            raise failed(f"{job.id} is {job.fields.status} already; tritonreel jobs delete {job.id} removes it")
        server.delete(job_id)
    typer.echo(printable(f"{job.id} is stopped."))


@jobs.command()
def delete(job_id: _Id, url: UrlOption = URL) -> None:
    """Remove a job and its files from the server; one that runs is stopped."""
    with asking(url) as server:
        server.delete(job_id)
    typer.echo(printable(f"{job_id} is removed."))


def _left(job_id: str) -> typer.Exit:
    say(f"The job goes on: tritonreel jobs get {job_id}")
    return typer.Exit(INTERRUPTED)


def _row(job: Job) -> tuple[str, ...]:
    fields = job.fields
    status = f"{fields.progress} %" if fields.status == "in_progress" else fields.status
    return (
        fields.id,
        status,
        _age(time.time() - fields.created_at),
        fields.model or "",
        f"{fields.size or ''}{f'x{fields.num_frames}' if fields.num_frames and fields.kind == 'video' else ''}",
        fields.prompt if len(fields.prompt) <= _PROMPT else f"{fields.prompt[:_PROMPT]}...",
    )


def _age(seconds: float) -> str:
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds / length:.0f} {unit}"
    return f"{max(0, seconds):.0f} s"
