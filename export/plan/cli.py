"""The command line of the plan."""

import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from export.errors import ExportError, PlanError
from export.options import Precision
from export.plan.gpus import find_gpu
from export.plan.recommendation import recommend
from export.plan.residency import Plan, choose_precision, plan
from export.plan.shapes import Geometry, Size
from export.plan.table import show
from export.quiet import quiet_libraries

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)

_SIZE = re.compile(r"(\d+)\s*[xX*]\s*(\d+)")
_WIDTH = 140
"""of the tables where nobody's terminal says"""


@app.command()
def main(
    checkpoint: Annotated[
        Path,
        typer.Argument(help="Folder of a diffusers checkpoint; model_index.json and the config.json files are enough."),
    ],
    gpu: Annotated[
        str, typer.Option(help='Name, such as "RTX 4090", "H100", "A100 40GB", or memory, such as 24GB or 24GiB.')
    ],
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Of weights and computation. UMT5 stays bfloat16, or float32, where float16 is asked for.",
            show_default="bfloat16, or float16 where the GPU has none",
        ),
    ] = None,
    vae_precision: Annotated[Precision | None, typer.Option(help="Of the VAE.", show_default="as --precision")] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            help="WIDTHxHEIGHT; may be given several times.", show_default="the model's and the largest usual"
        ),
    ] = None,
    frames: Annotated[int | None, typer.Option(help="Of a video.", show_default="the model's")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print it all as JSON, in bytes, for programs.")] = False,
) -> None:
    """Say what of a model fits on a GPU, and how, before anything is exported.

    All follows from the checkpoint's configuration: nothing is loaded, and
    no GPU is needed. Weights that are there are compared with it.

    Weights can be on the GPU in three ways, the fastest first:

      [bold]resident[/bold]  everything stays there
      [bold]swap[/bold]      text encoder, transformers and VAE come and go as a job
                moves on; the next one loads meanwhile where both fit
      [bold]stream[/bold]    as swap, and layers of a model that does not fit come
                from host memory in each step

    For each size the tables say what weights, activations and the VAE's
    caches take, which moment takes most, and whether that fits beside a
    reserve. The last lines say which way to take, or what fits instead.

    Example:

      [bold]python -m export.plan PATH/TO/Wan2.2-T2V-A14B-Diffusers --gpu "RTX 4090"[/bold]

    GB are 10^9 bytes and GiB 2^30. A card that is sold with 24 GB has 24 GiB.
    """
    try:
        made = _plan(checkpoint, gpu, precision, vae_precision, size or [], frames)
    except ExportError as error:
        Console(stderr=True, highlight=False, soft_wrap=True).print(str(error), markup=False)
        raise typer.Exit(1) from None
    if as_json:
        sys.stdout.write(to_json(made) + "\n")
    else:
        show(made, Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH))


def to_json(made: Plan) -> str:
    """The plan, and what follows from it: `best`, `needed`, `recommendation`."""
    document: dict[str, Any] = dataclasses.asdict(made)
    for entry, size_plan in zip(document["sizes"], made.sizes, strict=True):
        entry["best"] = size_plan.best and size_plan.best.residency
        entry["needed"] = size_plan.needed
    document["recommendation"] = recommend(made)
    return json.dumps(document, indent=2)


def _plan(
    checkpoint: Path,
    gpu_name: str,
    precision: Precision | None,
    vae_precision: Precision | None,
    size_texts: list[str],
    frames: int | None,
) -> Plan:
    gpu = find_gpu(gpu_name)
    chosen = choose_precision(gpu, precision)
    of_vae = choose_precision(gpu, vae_precision) if vae_precision else chosen
    pairs = [_pair(text) for text in size_texts]
    quiet_libraries()
    # this takes seconds to import, which --help and errors should not
    from export.plan.checkpoint_shapes import read_shapes

    shapes = read_shapes(checkpoint)
    return plan(shapes, gpu, chosen, of_vae, _sizes(shapes.geometry, pairs, frames))


def _sizes(geometry: Geometry, pairs: list[tuple[int, int]], frames: int | None) -> list[Size]:
    usual = (geometry.default, geometry.largest)
    wanted = pairs or [(size.width, size.height) for size in usual]
    count = geometry.default.frames if frames is None else frames
    return list(dict.fromkeys(Size(width, height, count) for width, height in wanted))


def _pair(text: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise PlanError(f"--size {text}: must be WIDTHxHEIGHT in pixels, such as 832x480")
    return int(match[1]), int(match[2])
