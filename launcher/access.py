"""Who may use the HTTP API, and which servers it uses, found out before anything is started."""

import os
from collections.abc import Callable, Sequence

from frontend.http.access import Access, AccessError, decide_access
from frontend.http.authority import parse_hosts, parse_origins, parse_servers
from launcher.errors import SetupError
from launcher.settings import Settings


def decide(settings: Settings) -> Access:
    """What the frontend will decide too. Raises SetupError where it would not start."""
    try:
        return decide_access(settings.host, settings.keys_file, os.environ.get("TRITONREEL_API_KEY"), settings.no_auth)
    except AccessError as error:
        raise SetupError(str(error)) from None


def hosts_of(options: Sequence[str] | None) -> tuple[str, ...]:
    """The values of `--allowed-host`. Raises SetupError for what is none."""
    return _parsed("--allowed-host", parse_hosts, options)


def origins_of(options: Sequence[str] | None) -> tuple[str, ...]:
    """The values of `--allowed-origin`. Raises SetupError for what is none."""
    return _parsed("--allowed-origin", parse_origins, options)


def servers_of(options: Sequence[str] | None) -> tuple[str, ...]:
    """The values of `--other-triton`. Raises SetupError for what is none."""
    return _parsed("--other-triton", parse_servers, options)


def _parsed(
    name: str, parse: Callable[[Sequence[str]], tuple[str, ...]], options: Sequence[str] | None
) -> tuple[str, ...]:
    try:
        return parse(options or ())
    except ValueError as error:
        raise SetupError(f"{name}: {error}") from None
