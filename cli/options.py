"""Options of commands: those of many commands, and one for each field that a request may have.

What a field means, and its bounds, are said where the server's schema says them.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Annotated, Any, Literal

import typer
from pydantic import BaseModel

from cli.completion import complete_model
from frontend.agent.connection import DEFAULT_URL, URL_VARIABLE

UrlOption = Annotated[str, typer.Option(envvar=URL_VARIABLE, help="The server.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print what the server says, for programs.")]
PreviewOption = Annotated[
    bool,
    typer.Option(help="Show what it is going to look like, in terminals that can (kitty, Ghostty, iTerm2, WezTerm)."),
]
OpenOption = Annotated[bool, typer.Option("--open", help="Open the file with the system's viewer.")]
OutputOption = Annotated[
    str | None,
    typer.Option(
        "-o",
        "--output",
        metavar="FILE",
        help="Where to write it: a file, a folder, or - for stdout. A file that is there is never overwritten: the new "
        "one gets a number.",
        show_default="named by prompt and seed",
    ),
]
URL = DEFAULT_URL

_SHORT = {
    "num_frames": ("--frames",),
    "num_inference_steps": ("--steps",),
    "guidance_scale_2": ("--guidance-2",),
    "negative_prompt": ("--negative",),
    "n": ("-n",),
}
"""what people type, beside the field's own name"""
_ELSEWHERE = frozenset({"prompt", "lora", "width", "height", "video_params", "extra_body", "stream", "response_format"})
"""fields that commands have options of their own for, or no use"""
_TYPES: dict[str, type] = {"integer": int, "number": float, "string": str}


def with_fields(
    request: type[BaseModel], *, guidance: str = "guidance_scale", without: frozenset[str] = frozenset()
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command that takes `**fields`: it gets an option for each field of `request`.

    Args:
        guidance: the field that `--guidance` stands for.
        without: fields that it has no option for.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command)
        own = [one for one in signature.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        parameters = [*own, *_parameters(request, _SHORT | {guidance: ("--guidance",)}, without)]
        command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        command.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
        return command

    return decorate


def _parameters(
    request: type[BaseModel], short: Mapping[str, tuple[str, ...]], without: frozenset[str]
) -> Iterator[inspect.Parameter]:
    schema = request.model_json_schema()
    for name, field in schema["properties"].items():
        if name in _ELSEWHERE or name in without:
            continue
        described = _described(schema, field)
        kind = _kind(described)
        flags = (*short.get(name, ()), *(() if name == "n" else (f"--{name.replace('_', '-')}",)))
        option = typer.Option(
            *flags,
            help=_plain(field.get("description", "")),
            show_default=False,
            autocompletion=complete_model if name == "model" else None,
            min=described.get("minimum"),
            max=described.get("maximum"),
        )
        yield inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[kind | None, option]
        )


def _described(schema: Mapping[str, Any], field: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a value of a field can be, null and other forms of the same aside."""
    for one in field.get("anyOf", [field]):
        found = schema["$defs"][one["$ref"].rpartition("/")[2]] if "$ref" in one else one
        if found.get("type") != "null":
            return _described(schema, found) if "anyOf" in found else dict(found)
    raise AssertionError(f"a field without a type: {field}")


def _kind(described: Mapping[str, Any]) -> Any:
    return Literal[tuple(described["enum"])] if "enum" in described else _TYPES[described["type"]]


def _plain(description: str) -> str:
    return description.replace("`", "").replace("**", "")


def adapter_of(text: str) -> dict[str, Any]:
    """`NAME` or `NAME:SCALE`. Raises typer.BadParameter where there is no name."""
    name, colon, scale = text.rpartition(":")
    try:
        if colon:
            return _named(name, float(scale))
    except ValueError:
        pass  # the colon belongs to the name
    return _named(text, 1.0)


def _named(name: str, scale: float) -> dict[str, Any]:
    if not name:
        raise typer.BadParameter("must be NAME or NAME:SCALE, like ink:0.8", param_hint="--lora")
    return {"name": name, "scale": scale}
