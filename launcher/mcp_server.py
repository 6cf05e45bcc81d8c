"""`tritonreel mcp`: video tools for agents that speak the Model Context Protocol."""

import asyncio
import logging
import signal
import socket
from contextlib import suppress
from typing import Annotated

import typer


def mcp(
    url: Annotated[
        str, typer.Option(envvar="TRITONREEL_URL", help="The Tritonreel server that makes the videos.")
    ] = "http://127.0.0.1:8000",
    http: Annotated[
        int | None,
        typer.Option(
            metavar="PORT",
            min=0,
            max=65535,
            help="Serve streamable HTTP on http://127.0.0.1:PORT/mcp, for programs of this machine; 0 chooses a free "
            "port.",
            show_default="stdin and stdout",
        ),
    ] = None,
    customer_id: Annotated[
        int, typer.Option(min=1, help="Whose the videos are, for the names of their files in S3.")
    ] = 1,
) -> None:
    """Give agents the tools generate_video and extend_video, by the Model Context Protocol (MCP).

    An agent's program starts this itself, as its settings say. Where the server asks for an API key, it is read from
    the variable TRITONREEL_API_KEY. A call takes as long as its video, and says every few seconds that it goes on.

    \b
    In the settings of most programs:
      "mcpServers": {
        "tritonreel": {
          "command": "/path/to/.venv/bin/tritonreel",
          "args": ["mcp", "--url", "http://127.0.0.1:8000"],
          "env": {"TRITONREEL_API_KEY": "..."}
        }
      }

    \b
    Examples:
      tritonreel mcp                    by stdin and stdout
      tritonreel mcp --http 9200        on http://127.0.0.1:9200/mcp
    """
    logging.basicConfig(level=logging.WARNING)  # to stderr: stdout is the protocol's
    try:
        # Here, because importing them would make every start of the server seconds longer.
        from frontend.agent.mcp_server import LOOPBACK, PATH, serve_http, serve_stdio
        from frontend.agent.service import HttpVideoService
    except ImportError as error:
        raise _failed(f"pip install 'tritonreel[mcp]' ({error})") from None
    try:
        service = HttpVideoService(url, customer_id=customer_id)
    except ValueError as error:
        raise _failed(str(error)) from None
    if http is None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # a thread that waits for stdin heeds nothing else
        asyncio.run(serve_stdio(service))
        return
    try:
        listening = socket.create_server((LOOPBACK, http))
    except OSError as error:
        raise _failed(f"port {http}: {error.strerror}") from None
    with listening, suppress(KeyboardInterrupt):
        typer.echo(f"MCP on http://{LOOPBACK}:{listening.getsockname()[1]}{PATH}\nStop: Ctrl-C", err=True)
        asyncio.run(serve_http(service, listening))


def _failed(reason: str) -> typer.Exit:
    typer.echo(f"the MCP server cannot start: {reason}", err=True)
    return typer.Exit(1)
