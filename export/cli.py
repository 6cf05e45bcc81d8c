"""The command line of the export."""

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from export.errors import ExportError
from export.options import EXTERNAL_ABOVE, Options, Target
from export.quiet import quiet_libraries

if TYPE_CHECKING:
    from export.component import Exported

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command()
def main(
    checkpoint: Annotated[
        Path, typer.Argument(help="Folder of a diffusers checkpoint, the one with model_index.json.")
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
            help="onnxruntime: with ONNX Runtime's attention, whose memory grows with the clip, not with its square. "
            "onnx: standard operators only, what TensorRT reads."
        ),
    ] = Target.ONNXRUNTIME,
    model_id: Annotated[
        str | None, typer.Option("--id", help="Id to serve the model under, instead of the checkpoint's own.")
    ] = None,
    external_above: Annotated[
        int, typer.Option(hidden=True, min=0, help="Bytes of weights above which they go to <file>.data.")
    ] = EXTERNAL_ABOVE,
) -> None:
    """Export a diffusers checkpoint to ONNX, into the folders that Triton serves.

    Each component is traced, saved, and compared in ONNX Runtime with its
    torch module on fresh random inputs of several sizes; a difference above
    1e-4 fails the export. The repository changes only once everything has
    passed: an export that fails or is interrupted leaves it as it was.

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

    Weights become float32, whatever the checkpoint stores; more than 2 GB of
    them go to a file beside the graph.
    """
    signal.signal(signal.SIGTERM, _terminate)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells start background jobs with it ignored
    console = Console(highlight=False, soft_wrap=True)
    try:
        _run(console, checkpoint, family, to, Options(target, model_id, external_above))
    except ExportError as error:
        console.print("[bold red]Export failed:[/]", str(error), markup=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("Interrupted; nothing half-written is left.")
        raise typer.Exit(128 + signal.SIGINT) from None


def _run(console: Console, folder: Path, family_name: str | None, repository: Path, options: Options) -> None:
    started = time.monotonic()
    with console.status("starting") as status:
        # these take seconds to import, which --help should not
        from export.exporter import export_checkpoint
        from export.families import get_family, recognise_family

        quiet_libraries()

        def report(exported: "Exported") -> None:
            files = ", ".join(f"{exported.model}/1/{file}" for file in exported.graphs)
            unchanged = ", unchanged" if exported.is_reused else ""
            console.print(f"[green]✓[/] {exported.component}: {files}{unchanged}")

        family = recognise_family(folder) if family_name is None else get_family(family_name)
        results = export_checkpoint(folder, family, repository, options, on_stage=status.update, on_exported=report)
    console.print(_table(results))
    console.print(f"{folder} is in {repository} after {time.monotonic() - started:.0f} s", markup=False)


def _table(results: "list[Exported]") -> Table:
    table = Table()
    table.add_column("model", no_wrap=True)
    for heading in ("parameters", "size", "export", "compare", "max diff"):
        table.add_column(heading, justify="right", no_wrap=True)
    for exported in results:
        source = exported.source
        table.add_row(
            exported.model,
            f"{source.parameters / 1e6:,.2f} M",
            f"{sum(source.files.values()) / 1e6:,.1f} MB",
            "reused" if exported.export_seconds is None else f"{exported.export_seconds:.1f} s",
            "" if exported.compare_seconds is None else f"{exported.compare_seconds:.1f} s",
            f"{source.max_difference:.1e}",
        )
    return table


def _terminate(number: int, frame: FrameType | None) -> None:
    """SIGTERM unwinds the stack like Ctrl-C, so that the unfinished files are removed."""
    sys.exit(128 + number)
