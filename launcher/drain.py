"""`tritonreel drain`: send a Triton server no more jobs, and wait until it has made those that it has."""

import os
import time
from typing import Annotated

import typer

from protocol.printable import printable

_POLL_SECONDS = 2.0
_HEARD_SECONDS = 5.0
"""until all frontends know of it, and what they were just sending is there"""
_ANSWER_SECONDS = 10.0
_WORK = frozenset(("jobs_running", "jobs_waiting"))
"""of `generate`, in Triton's metrics"""


def drain(
    server: Annotated[
        str, typer.Argument(help="Its name, as TRITONREEL_TRITON_URL and GET /v1/servers have it: HOST:PORT.")
    ],
    url: Annotated[
        str, typer.Option(envvar="TRITONREEL_URL", help="A frontend of it; all that share its jobs take note.")
    ] = "http://127.0.0.1:8000",
    metrics_url: Annotated[
        str, typer.Option(help="Triton's own metrics, which tell how many jobs it has.")
    ] = "http://127.0.0.1:8002/metrics",
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait at most.")] = 3600.0,
    resume: Annotated[bool, typer.Option("--resume", help="Send it jobs again instead.")] = False,
) -> None:
    """Send a Triton server no more jobs, and wait until it has none: then it can be stopped, and no work is lost.

    Where the frontend asks for API keys, an administrator's is read from the variable TRITONREEL_API_KEY.

    \b
    Examples:
      tritonreel drain 10.0.0.7:8001 --metrics-url http://10.0.0.7:8002/metrics
      tritonreel drain 10.0.0.7:8001 --resume
    """
    import httpx  # here, like all that only this command needs: the server's start is not to wait for it

    key = os.environ.get("TRITONREEL_API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    what = "resume" if resume else "drain"
    try:
        answer = httpx.post(f"{url.rstrip('/')}/v1/servers/{server}/{what}", headers=headers, timeout=_ANSWER_SECONDS)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _failed(f"the frontend at {url} cannot be reached: {error or type(error).__name__}") from None
    if not answer.is_success:
        raise _failed(f"the frontend at {url} answered with {answer.status_code}: {printable(answer.text, 300)}")
    if resume:
        typer.echo(f"{server} gets jobs again")
        return
    typer.echo(f"{server} gets no new jobs")
    _wait_for_no_jobs(server, metrics_url, timeout)


def _wait_for_no_jobs(server: str, metrics_url: str, timeout: float) -> None:
    """Raises typer.Exit when it has some after `timeout` seconds."""
    import httpx

    began = time.monotonic()
    time.sleep(min(_HEARD_SECONDS, timeout))
    told: int | None = None
    while True:
        try:
            jobs = _jobs(httpx.get(metrics_url, timeout=_ANSWER_SECONDS).raise_for_status().text)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _failed(
                f"Triton's metrics at {metrics_url} cannot be read: {error or type(error).__name__}"
            ) from None
        if jobs == 0:
            typer.echo(f"{server} has no jobs")
            return
        if jobs != told:
            typer.echo(f"{server} has {jobs} job{'s' if jobs > 1 else ''}")
            told = jobs
        if time.monotonic() - began >= timeout:
            raise _failed(f"{server} still has {jobs} jobs after {timeout:g} s; they go on elsewhere when it ends")
        time.sleep(_POLL_SECONDS)


def _jobs(text: str) -> int:
    """That `generate` has, by Triton's metrics."""
    from prometheus_client.parser import text_string_to_metric_families

    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return int(sum(sample.value for sample in samples if sample.name in _WORK))


def _failed(reason: str) -> typer.Exit:
    typer.echo(f"Error: {reason}", err=True)
    return typer.Exit(1)
