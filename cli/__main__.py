"""`tritonreel`: finds the command that the first word names, and imports no other."""

from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

_SERVE = "serve"
_COMMANDS = {
    "video": ("cli.create", "video", "Make a video from a text, or from an image and a text."),
    "image": ("cli.create", "image", "Make an image from a text."),
    "jobs": ("cli.jobs", "jobs", "List jobs, the newest first, and look after them."),
    "models": ("cli.models", "models", "List the models that the server has."),
    "bench": ("cli.bench", "bench", "Measure a server over its HTTP API."),
    _SERVE: ("launcher.__main__", "serve", "Serve video and image generation on this machine."),
    "stop": ("launcher.__main__", "stop", "Stop servers that run, and clean up after servers that were killed."),
    "drain": ("launcher.drain", "drain", "Send a Triton server no more jobs, and wait until it has none."),
    "keys": ("launcher.keys", "keys", "Make, limit, list and revoke the API keys that servers ask for."),
    "mcp": ("launcher.mcp_server", "mcp", "Give agents the tools generate_video and extend_video."),
    "demo-providers": (
        "launcher.demo_providers",
        "demo_providers",
        "Run local servers that speak the protocols of hosted providers, until Ctrl-C.",
    ),
}
"""module and name of each, and what it does"""
_OWN_OPTIONS = ("--help", "--install-completion", "--show-completion")


class Commands(TyperGroup):
    """The commands, each imported when it is called. Options without a command are those of `serve`."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        for name, (_, _, summary) in _COMMANDS.items():
            self.add_command(TyperCommand(name, short_help=summary))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_option = args[0].startswith("-") if args else not ctx.resilient_parsing
        if is_option and not (args and args[0].partition("=")[0] in _OWN_OPTIONS):
            args = [_SERVE, *args]
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command and _load(str(name)), rest


def _load(name: str) -> Any:
    module, attribute, _ = _COMMANDS[name]
    try:
        found = getattr(import_module(module), attribute)
    except ModuleNotFoundError as error:
        typer.echo(
            f"Error: pip install 'tritonreel[{'cli' if module.startswith('cli') else 'serve'}]' ({error})", err=True
        )
        raise typer.Exit(1) from None
    if isinstance(found, typer.Typer):
        return get_command(found)
    of_one = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    of_one.command(name)(found)
    return get_command(of_one)


app = typer.Typer(cls=Commands, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.callback()
def overview() -> None:
    """Make videos and images with a Tritonreel server, or serve them.

    Without a command it serves, with the options of `serve`. Other commands ask the server at --url, which is
    http://127.0.0.1:8000 or what the variable TRITONREEL_URL says; where it asks for an API key, it is read from
    the variable TRITONREEL_API_KEY.

    \b
    Examples:
      tritonreel video "a red circle moves right" -o circle.mp4
      tritonreel video "it moves right" --image circle.png --seconds 5 --open
      tritonreel image "a lighthouse in a storm, oil on canvas"
      tritonreel jobs                       what was asked for, the newest first
      tritonreel jobs get ID                fetch it later
      tritonreel models                     what can make it
      tritonreel bench -r 32 -c 8           how quickly
      tritonreel serve --help               ports, folders and limits of a server
      tritonreel --install-completion       complete commands, options and models
    """


if __name__ == "__main__":
    app()
