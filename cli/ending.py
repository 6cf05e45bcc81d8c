"""How commands end: what is said on stderr, and the exit status."""

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from cli.output_files import OutputError
from cli.server import ClientError, Server
from protocol.printable import printable

FAILED = 1
INTERRUPTED = 130


@contextmanager
def asking(url: str) -> Iterator[Server]:
    """The server at `url`; what goes wrong with it ends the command with a sentence and status 1."""
    try:
        server = Server(url)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    try:
        with server:
            yield server
    except ClientError as error:
        raise failed(error.message, error.field) from None
    except OutputError as error:
        raise failed(str(error)) from None
    except BrokenPipeError:
        raise failed("what reads the output has ended") from None


def failed(message: str, field: str | None = None) -> typer.Exit:
    """Says why.

    Args:
        field: of the request, which is named where the message does not name it.
    """
    named = f" ({field})" if field and field not in message else ""
    say(f"Error: {message}{named}")
    return typer.Exit(FAILED)


def say(text: str) -> None:
    """On stderr. Whatever a server or a prompt says cannot command the terminal."""
    typer.echo(printable(text), err=True)
