"""`python -m toy.world`: look at the toy world, or measure how well a served model knows it."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress

from export.options import Precision
from launcher.background import BackgroundServer
from launcher.settings import PROJECT_ROOT, TOY_REPOSITORY
from toy.world import quality_report
from toy.world.captions import caption
from toy.world.detect import detect
from toy.world.draw import draw
from toy.world.quality import Options, Run, evaluate, planned
from toy.world.scene import BACKGROUNDS, COLOURS, MOTIONS, SHAPES, place_scene
from toy.world.scores import ATTRIBUTES
from toy.world.server import ServedModel, Server, ServerError
from toy.world.sheet import Exhibit, contact_sheet

CHECKPOINTS = PROJECT_ROOT / "toy" / "checkpoints"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def sheet(
    to: Annotated[Path, typer.Option(help="PNG to write.")] = Path("toy-world.png"),
    count: Annotated[int, typer.Option(min=1, help="Videos.")] = 30,
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT", help="Pixels.")] = "64x64",
    num_frames: Annotated[int, typer.Option(min=1)] = 9,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Draw examples with captions as training has them; what is told wrong from the pixels is in red."""
    width, height = _parse_size(size)
    rng = np.random.default_rng(seed)
    exhibits = []
    for i in range(count):
        scene = place_scene(
            rng,
            SHAPES[i % len(SHAPES)],
            COLOURS[i % len(COLOURS)],
            MOTIONS[i % len(MOTIONS)],
            BACKGROUNDS[i // len(SHAPES) % len(BACKGROUNDS)],
        )
        video = draw(scene, width, height, num_frames)
        seen = detect(video)
        wrong = [name for name in ATTRIBUTES if getattr(seen, name) != getattr(scene, name)]
        exhibits.append(
            Exhibit(video, caption(scene, rng), ", ".join(f"{name}: {getattr(seen, name)}" for name in wrong))
        )
    contact_sheet(exhibits, columns=3).save(to)
    typer.echo(f"{to}: {count} videos")


@app.command()
def quality(
    url: Annotated[
        str | None, typer.Option(help="The server.", show_default="one of its own for the toy checkpoints")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(help="Id of a served model; several times for several.", show_default="all"),
    ] = None,
    captions: Annotated[int, typer.Option(min=1, help="Captions per model and task, all held out.")] = 200,
    seed: Annotated[int, typer.Option(min=0, help="Of the captions, and of the first video.")] = 0,
    at_once: Annotated[int, typer.Option(min=1, help="Requests in flight.")] = 4,
    size: Annotated[
        str | None, typer.Option(metavar="WIDTHxHEIGHT", help="Pixels.", show_default="the model's")
    ] = None,
    num_frames: Annotated[int | None, typer.Option(min=1, show_default="the model's")] = None,
    guidance: Annotated[float | None, typer.Option(min=0, show_default="the model's")] = None,
    negative_prompt: Annotated[str | None, typer.Option(show_default="the model's")] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Export the toy checkpoints in this precision first, into a repository of its own, and ask a server "
            "for those. On a CPU half precision is emulated, which takes several times as long.",
            show_default="what is exported, float32",
        ),
    ] = None,
    compare: Annotated[bool, typer.Option(help='Also at guidance 1, and with "red" as negative prompt.')] = False,
    to: Annotated[Path, typer.Option(help="Folder for figures and images; each model gets a folder in it.")] = Path(
        "quality-results"
    ),
) -> None:
    """Ask a server for videos or images, and measure from their pixels how many show what was asked.

    \b
    Half of the captions are sentences, and half are wordings, that training never has.
    Models that start from an image get a drawn one.
    """
    console = Console(stderr=True)
    options = Options(
        captions=captions,
        seed=seed,
        at_once=at_once,
        size=_parse_size(size) if size else None,
        num_frames=num_frames,
        guidance=guidance,
        negative_prompt=negative_prompt,
        compare=compare,
    )
    runs: list[Run] = []
    try:
        with (
            _serving(url, to, precision) as served_at,
            Server(served_at) as server,
            Progress(console=console, transient=True) as progress,
        ):
            for served in _chosen(server, model):
                bar = progress.add_task(served.id, total=planned(served, options))
                found = list(evaluate(server, served, options, partial(progress.advance, bar)))
                runs += found
                quality_report.write(found, options, served.defaults.fps or 1, to / served.id)
                console.print(f"{to / served.id}: report.json, sheets and animations", highlight=False)
    except ServerError as error:
        typer.echo(f"Failed: {error}", err=True)
        raise typer.Exit(1) from error
    output = Console(width=None if console.is_terminal else 160)
    output.print(quality_report.score_table(runs))
    output.print(quality_report.other_table(runs))


@contextmanager
def _serving(url: str | None, folder: Path, precision: Precision | None) -> Iterator[str]:
    """The URL of a server, one of our own if there is none."""
    if url is not None:
        yield url
        return
    repository = TOY_REPOSITORY
    if precision is not None:
        repository = TOY_REPOSITORY.with_name(f"{TOY_REPOSITORY.name}-{precision}")
        _export(repository, precision)
    with BackgroundServer(repository, folder / "server") as server:
        yield server.url


def _export(repository: Path, precision: Precision) -> None:
    """The toy checkpoints into a repository, unless they are there."""
    checkpoints = sorted(path.parent for path in CHECKPOINTS.glob("*/model_index.json"))
    command = [sys.executable, "-m", "export", "--to", str(repository), "--precision", precision]
    if subprocess.run(command + [str(checkpoint) for checkpoint in checkpoints], check=False).returncode != 0:
        raise ServerError(f"the export to {repository} failed")


def _chosen(server: Server, ids: list[str] | None) -> list[ServedModel]:
    """The served models of these ids.

    Raises:
        ServerError: one of them is not served.
    """
    served = {entry.id: entry for entry in server.models()}
    unknown = set(ids or ()) - set(served)
    if unknown:
        raise ServerError(f"{', '.join(sorted(unknown))} is not served; these are: {', '.join(served)}")
    return [served[name] for name in ids or served]


def _parse_size(text: str) -> tuple[int, int]:
    width, by, height = text.partition("x")
    if not (by and width.isdecimal() and height.isdecimal()):
        raise typer.BadParameter(f'--size must be WIDTHxHEIGHT in pixels, like 64x64, not "{text}"')
    return int(width), int(height)


if __name__ == "__main__":
    app(prog_name="python -m toy.world")
