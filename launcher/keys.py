"""`tritonreel keys`: make, list and revoke API keys. Servers that run take note at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from frontend.http.api_keys import KeyFile, KeysError, default_keys_file
from frontend.http.key_limits import KeyLimits

KeysFileOption = Annotated[
    Path | None,
    typer.Option(
        envvar="TRITONREEL_KEYS_FILE",
        help="File with the hashes of the API keys.",
        show_default="keys.json in the user's configuration folder, ~/.config/tritonreel",
    ),
]
_Name = Annotated[str, typer.Argument(help="Whose key it is, or what for; it stands in the server's log.")]

_MaxJobs = Annotated[
    int | None,
    typer.Option(
        "--max-jobs",
        min=0,
        max=100_000,
        metavar="N",
        help="Unfinished jobs that the key may have, on all frontends together. 0: no limit.",
        show_default="no limit",
    ),
]
_RequestsPerMinute = Annotated[
    int | None,
    typer.Option(
        "--requests-per-minute",
        min=0,
        max=100_000,
        metavar="N",
        help="Requests for a job that the key may send within a minute, to each frontend. 0: no limit.",
        show_default="no limit",
    ),
]
_SecondsPerDay = Annotated[
    int | None,
    typer.Option(
        "--seconds-per-day",
        min=0,
        max=100_000,
        metavar="N",
        help="Seconds for which jobs of the key may run per day (UTC), added up over all frontends; those that run "
        "then are finished. 0: no limit.",
        show_default="no limit",
    ),
]
_DollarsPerDay = Annotated[
    float | None,
    typer.Option(
        "--dollars-per-day",
        min=0,
        max=1_000_000,
        metavar="N",
        help="US dollars that videos of hosted providers, made with the key, may cost per day (UTC), by their price "
        "lists. 0: no limit.",
        show_default="no limit",
    ),
]
_PriorityOption = Annotated[
    Literal["low", "normal", "high"] | None,
    typer.Option(
        "--priority",
        help="Jobs of a higher one are begun before all others that wait; within one, the keys take turns.",
        show_default="normal",
    ),
]

keys = typer.Typer(no_args_is_help=True, help="Make, limit, list and revoke the API keys that servers ask for.")


_Admin = Annotated[
    bool, typer.Option("--admin", help="An administrator's: it sees, and may delete, the videos of all keys.")
]


@keys.command()
def add(
    name: _Name,
    admin: _Admin = False,
    max_jobs: _MaxJobs = None,
    requests_per_minute: _RequestsPerMinute = None,
    seconds_per_day: _SecondsPerDay = None,
    dollars_per_day: _DollarsPerDay = None,
    priority: _PriorityOption = None,
    keys_file: KeysFileOption = None,
) -> None:
    """Make a key and print it, this once: only its hash is kept.

    Servers that use the same file ask for a key from now on, those that run too. A key sees its own videos alone.
    """
    with _errors_shown():
        file = _file(keys_file)
        limits = KeyLimits().changed(
            _changes(
                priority,
                max_jobs=max_jobs,
                requests_per_minute=requests_per_minute,
                seconds_per_day=seconds_per_day,
                dollars_per_day=dollars_per_day,
            )
        )
        typer.echo(file.add(name, admin=admin, limits=limits))
        typer.echo(
            f"This is the key {name!r}, shown once; its hash is in {file.path}. "
            "Clients send it as: Authorization: Bearer KEY",
            err=True,
        )


@keys.command("list")
def list_keys(keys_file: KeysFileOption = None) -> None:
    """Show the names of the keys, since when there are they, and their limits."""
    with _errors_shown():
        file = _file(keys_file)
        known = file.read()
    for key in known:
        notes = "  ".join(filter(None, ("(admin)" if key.admin else "", str(key.limits))))
        typer.echo(f"{key.created:%Y-%m-%d %H:%M} UTC  {key.name}  {notes}".rstrip())
    if not known:
        typer.echo(f"There are no keys in {file.path}.", err=True)


@keys.command()
def limit(
    name: _Name,
    max_jobs: _MaxJobs = None,
    requests_per_minute: _RequestsPerMinute = None,
    seconds_per_day: _SecondsPerDay = None,
    dollars_per_day: _DollarsPerDay = None,
    priority: _PriorityOption = None,
    keys_file: KeysFileOption = None,
) -> None:
    """Change limits of a key, with servers that run too; those that are not given stay as they are."""
    with _errors_shown():
        file = _file(keys_file)
        limits = file.limit(
            name,
            _changes(
                priority,
                max_jobs=max_jobs,
                requests_per_minute=requests_per_minute,
                seconds_per_day=seconds_per_day,
                dollars_per_day=dollars_per_day,
            ),
        )
    typer.echo(f"{name}: {limits or 'no limits'}", err=True)


@keys.command()
def revoke(name: _Name, keys_file: KeysFileOption = None) -> None:
    """Make a key useless, with servers that run too."""
    with _errors_shown():
        file = _file(keys_file)
        file.revoke(name)
    typer.echo(f"Revoked {name!r} in {file.path}.", err=True)


def _changes(priority: str | None, **numbers: float | None) -> dict[str, Any]:
    """Of `KeyLimits`; 0 stands for no limit."""
    changes: dict[str, Any] = {name: number or None for name, number in numbers.items() if number is not None}
    return changes if priority is None else {**changes, "priority": priority}


def _file(path: Path | None) -> KeyFile:
    return KeyFile(path or default_keys_file())


@contextmanager
def _errors_shown() -> Iterator[None]:
    try:
        yield
    except KeysError as error:
        typer.secho(str(error), err=True, fg=typer.colors.RED)
        raise typer.Exit(1) from None
