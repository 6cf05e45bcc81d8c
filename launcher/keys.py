"""`tritonreel keys`: make, list and revoke API keys. Servers that run take note at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from frontend.http.api_keys import KeyFile, KeysError, default_keys_file

KeysFileOption = Annotated[
    Path | None,
    typer.Option(
        envvar="TRITONREEL_KEYS_FILE",
        help="File with the hashes of the API keys.",
        show_default="keys.json in the user's configuration folder, ~/.config/tritonreel",
    ),
]
_Name = Annotated[str, typer.Argument(help="Whose key it is, or what for; it stands in the server's log.")]

keys = typer.Typer(no_args_is_help=True, help="Make, list and revoke the API keys that servers ask for.")


_Admin = Annotated[
    bool, typer.Option("--admin", help="An administrator's: it sees, and may delete, the videos of all keys.")
]


@keys.command()
def add(name: _Name, admin: _Admin = False, keys_file: KeysFileOption = None) -> None:
    """Make a key and print it, this once: only its hash is kept.

    Servers that use the same file ask for a key from now on, those that run too. A key sees its own videos alone.
    """
    with _errors_shown():
        file = _file(keys_file)
        typer.echo(file.add(name, admin=admin))
        typer.echo(
            f"This is the key {name!r}, shown once; its hash is in {file.path}. "
            "Clients send it as: Authorization: Bearer KEY",
            err=True,
        )


@keys.command("list")
def list_keys(keys_file: KeysFileOption = None) -> None:
    """Show the names of the keys, and since when there are they."""
    with _errors_shown():
        file = _file(keys_file)
        known = file.read()
    for key in known:
        typer.echo(f"{key.created:%Y-%m-%d %H:%M} UTC  {key.name}{'  (admin)' if key.admin else ''}")
    if not known:
        typer.echo(f"There are no keys in {file.path}.", err=True)


@keys.command()
def revoke(name: _Name, keys_file: KeysFileOption = None) -> None:
    """Make a key useless, with servers that run too."""
    with _errors_shown():
        file = _file(keys_file)
        file.revoke(name)
    typer.echo(f"Revoked {name!r} in {file.path}.", err=True)


def _file(path: Path | None) -> KeyFile:
    return KeyFile(path or default_keys_file())


@contextmanager
def _errors_shown() -> Iterator[None]:
    try:
        yield
    except KeysError as error:
        typer.secho(str(error), err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from None
