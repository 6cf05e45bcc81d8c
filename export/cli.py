"""The command line of the export."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from export.fork_server import start_fork_server
from export.options import DEFAULT_PRECISION, EXTERNAL_ABOVE, Options, Precision, Target
from export.quiet import quiet_libraries
from export.record import is_exported
from export.reports import ConsoleListener, EventListener

if TYPE_CHECKING:
    from export.family import Family

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command()
def main(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(help="Folders of diffusers checkpoints, those with model_index.json; the most wanted first."),
    ],
    family: Annotated[
        str | None,
        typer.Option(help="Kind of model: wan_t2v, wan_i2v, wan_ti2v or qwen_image. Recognised unless given."),
    ] = None,
    to: Annotated[Path, typer.Option(help="Model repository to export into; made when absent.")] = Path(
        "model_repository"
    ),
    target: Annotated[
        Target,
        typer.Option(
            help="onnxruntime: for CPUs, with ONNX Runtime's attention, whose memory grows with the video and not with "
            "its square. onnx: for GPUs, standard operators only."
        ),
    ] = Target.ONNXRUNTIME,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Of weights and computation. Half precision needs half the memory and is what GPUs are fast in; with "
            "--target onnxruntime it is emulated, slowly, to see what it costs in quality.",
            show_default="float32 for onnxruntime, bfloat16 for onnx",
        ),
    ] = None,
    vae_precision: Annotated[
        Precision | None,
        typer.Option(
            help="Of the VAE alone. float32 is what diffusers' examples for Wan decode in, and takes twice the memory.",
            show_default="as the rest",
        ),
    ] = None,
    model_id: Annotated[
        str | None, typer.Option("--id", help="Id to serve the model under, instead of the checkpoint's own.")
    ] = None,
    external_above: Annotated[
        int, typer.Option(hidden=True, min=0, help="Bytes of weights above which they go to a file.")
    ] = EXTERNAL_ABOVE,
    events: Annotated[
        bool, typer.Option("--events", hidden=True, help="Say what happens in lines of JSON, for the launcher.")
    ] = False,
) -> None:
    """Export diffusers checkpoints to ONNX, into the folders that Triton serves.

    Each component is traced, saved, and compared in ONNX Runtime with its
    torch module on fresh random inputs of several sizes; a difference above
    1e-4 fails the export, and so does half precision that is further from
    float32 than the torch module in half precision, by 1.5 dB. As many components as there are cores and memory
    for are exported at a time.

    The repository changes only once all of a checkpoint has passed: an export
    that fails or is interrupted leaves it as it was. A server that runs takes
    each checkpoint in as soon as it is there.

    Checkpoints of several families are served from one repository. What they
    have in common, the text encoder and the VAE, is in it once: the same weights
    are not exported again, and other weights are refused.

    Example:

      [bold]python -m export toy/checkpoints/toy-wan-t2v[/bold]

    writes, into model_repository/,

      wan_text_encoder/1/model.onnx
      wan_t2v_transformer/1/model.onnx
      wan_t2v_transformer_2/1/model.onnx
      wan_vae/1/whole_first.onnx and whole_next.onnx; for large frames
        middle_first.onnx, bands_first.onnx, ...
      generate/1/wan_t2v/: the model card, the tokenizer, the scheduler

    Weights become what --precision says, whatever the checkpoint stores; more
    than 100 MB of them go to a file beside the graph. Memory does not grow with
    them. An export that was interrupted goes on with those it has converted.
    """
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with it ignored
    console = Console(highlight=False, soft_wrap=True)
    if model_id is not None and len(checkpoints) > 1:
        raise typer.BadParameter("it names one checkpoint; export one at a time", param_hint="--id")
    options = Options(target, precision or DEFAULT_PRECISION[target], model_id, external_above, vae_precision)
    listener = EventListener() if events else ConsoleListener(console, to)
    try:
        with listener:
            _run(listener, checkpoints, family, to, options)
    except KeyboardInterrupt:
        console.print("Interrupted; nothing half-written is left.")
        raise typer.Exit(128 + signal.SIGINT) from None
    if listener.has_failed:
        raise typer.Exit(1)


def _run(
    listener: "ConsoleListener | EventListener",
    folders: Sequence[Path],
    family_name: str | None,
    repository: Path,
    options: Options,
) -> None:
    left = []
    for folder in folders:
        if family_name is None and is_exported(folder, repository, options):
            listener.unchanged(folder)
        else:
            left.append(folder)
    if not left:
        return
    listener.stage("starting")
    start_fork_server()
    # these take seconds to import, which --help should not
    from export.exporter import export_checkpoints
    from export.families import get_family, recognise_family
    from export.workers import Workers

    def family_of(folder: Path) -> "Family":
        return recognise_family(folder) if family_name is None else get_family(family_name)

    quiet_libraries()
    export_checkpoints([(folder, family_of) for folder in left], repository, options, Workers(), listener)


def _terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM unwinds the stack like Ctrl-C, so that the unfinished files are removed."""
    sys.exit(128 + number)
