"""`tritonreel demo-providers`: hosted providers to try without an account."""

import math
import shlex
from contextlib import suppress
from typing import Annotated

import typer

from launcher.stop_signal import StopRequested, StopSignal


def demo_providers(
    port: Annotated[int, typer.Option(min=0, max=65000, help="Of the first server; free ones if 0.")] = 9100,
) -> None:
    """Run local servers that speak the protocols of hosted providers, until Ctrl-C. They make drawn videos for free.

    Set the variables that it prints where you call `ai_video_generate`.
    """
    # Here, because importing a web framework and codecs would make every start of the server seconds longer.
    from frontend.providers.demo.stage import DEMO_PROVIDERS, on_stage

    stop = StopSignal()
    stop.install()
    try:
        with suppress(StopRequested), on_stage(first_port=port) as stage:
            names = ", ".join(provider.name for provider in DEMO_PROVIDERS)
            typer.echo(f"Demonstration servers of {names}. Set in another terminal:\n")
            for name, value in stage.environment.items():
                typer.echo(f"export {name}={shlex.quote(value)}")
            typer.echo("\nStop: Ctrl-C")
            stop.sleep(math.inf)
    except OSError as error:
        typer.echo(f"the demonstration servers cannot start: {error}", err=True)
        raise typer.Exit(1) from None
