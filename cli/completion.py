"""What the shell offers for `--model`: the ids that the server has, or nothing where it does not answer at once."""

import os
import re
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import typer

from frontend.agent.connection import DEFAULT_URL, URL_VARIABLE

if TYPE_CHECKING:
    from cli.server import Server

_SECONDS = 1.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,255}")
"""what can stand in a shell's line as it is"""


def complete_model(context: typer.Context, incomplete: str) -> list[str]:
    """Ids of models that begin with `incomplete`."""
    from cli.server import Server

    found: list[str] = []
    url = str(context.params.get("url") or os.environ.get(URL_VARIABLE) or DEFAULT_URL)
    # A thread, as a look-up of a name cannot be given up; Python does not wait for it.
    asking = threading.Thread(target=_ask, args=(Server, url, context.info_name, found), daemon=True)
    asking.start()
    asking.join(_SECONDS)
    return [model for model in list(found) if model.startswith(incomplete)]


def _ask(server_at: "type[Server]", url: str, command: str | None, found: list[str]) -> None:
    made = command if command in ("video", "image") else ""
    with suppress(Exception), server_at(url) as server:  # a shell's line is no place for errors
        for model in server.models()["data"]:
            if _ID.fullmatch(model["id"]) and any(task.endswith(made) for task in model["tasks"]):
                found.append(model["id"])
