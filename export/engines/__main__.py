"""`python -m export.engines`: build TensorRT engines of what is exported for GPUs."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from export.engines.builder import EngineBuilder
from export.engines.errors import EngineError
from export.engines.library import LibraryName, load_library
from export.engines.profiles import VideoSize
from export.engines.repository import EngineOptions, EngineTask, build_engines, plan_engines

app = typer.Typer(add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False)


@app.command()
def main(
    repository: Annotated[Path, typer.Argument(help="Model repository that checkpoints were exported into.")] = Path(
        "model_repository"
    ),
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="Triton model to build for, wan_vae for example; several times for several.", show_default="all"
        ),
    ] = None,
    compute_capability: Annotated[
        list[str] | None,
        typer.Option(
            help="Of the GPU: 8.9 for an RTX 4090, 12.0 for an RTX 5090; several times for several.",
            show_default="that of this machine's GPU",
        ),
    ] = None,
    library: Annotated[
        LibraryName | None, typer.Option(help="To build with, and to run with.", show_default="the one installed")
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WIDTHxHEIGHT[xFRAMES]",
            help="Served size that gets a profile of its own; several times for several. Sizes in between take the "
            "wide profile, which is slower.",
            show_default="each checkpoint's default size",
        ),
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Rows of a transformer's call at most; a guided job has two.")] = 4,
    adapter_rank: Annotated[
        int, typer.Option(min=0, help="Rank of all LoRA adapters of a request together, at most; 0 builds for none.")
    ] = 128,
    weight_streaming: Annotated[
        bool,
        typer.Option("--weight-streaming", help="For GPUs smaller than the model: weights can stay in host memory."),
    ] = False,
) -> None:
    """Build TensorRT engines beside the ONNX graphs of a model repository.

    The graphs must be for GPUs: [bold]python -m export CHECKPOINT --target onnx[/bold].
    TensorRT for RTX builds for any GeForce RTX or RTX PRO GPU since Turing, on
    a machine without one; full TensorRT is for data centre GPUs too, and builds
    for the GPU of the machine.

    What is there already, built from the same graph with the same library for
    the same sizes, is not built again. Each engine is written as it is built;
    plan.json beside it says what it was built with and for.

    Example:

      [bold]python -m export.engines model_repository --compute-capability 8.9 \\
          --size 832x480x81 --size 1280x720x81[/bold]
    """
    console = Console(highlight=False, soft_wrap=True)
    options = EngineOptions(
        capabilities=tuple(compute_capability or ()),
        sizes=tuple(_parse_size(text) for text in size or ()),
        batch=batch,
        adapter_rank=adapter_rank,
        streams_weights=weight_streaming,
    )
    try:
        _build(console, repository, model or (), options, library)
    except EngineError as error:
        console.print("[bold red]Failed:[/]", str(error), markup=True)
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        console.print("Interrupted; the engines that were finished stay.")
        raise typer.Exit(130) from None


def _build(
    console: Console,
    repository: Path,
    models: "list[str] | tuple[()]",
    options: EngineOptions,
    name: LibraryName | None,
) -> None:
    tasks = plan_engines(repository, options, models)
    library = load_library(name)
    console.print(f"{library.name} {library.version}, {len(tasks)} engines", markup=False)
    with console.status("starting") as status:
        current = ""

        def on_progress(phase: str, done: int, steps: int) -> None:
            status.update(f"{current}: {phase}, {done} of {steps}")

        def on_task(task: EngineTask) -> None:
            nonlocal current
            current = f"{task.model}/{task.graph.name}"
            status.update(current)

        builder = EngineBuilder(library, options.capabilities, options.streams_weights, on_progress)
        for task, built in build_engines(tasks, library, options, builder, on_task):
            what = f"{task.model}/{task.engine.name}, {len(task.profiles)} profiles"
            if built is None:
                console.print(f"[green]✓[/] {what}, unchanged")
            else:
                megabytes = built.path.stat().st_size / 1e6
                console.print(f"[green]✓[/] {what}, {megabytes:,.1f} MB in {built.seconds:.0f} s")


def _parse_size(text: str) -> VideoSize:
    numbers = text.split("x")
    if len(numbers) not in (2, 3) or not all(number.isascii() and number.isdecimal() for number in numbers):
        raise typer.BadParameter(
            f"it must be WIDTHxHEIGHT or WIDTHxHEIGHTxFRAMES, like 832x480x81, not {text!r}", param_hint="--size"
        )
    return VideoSize(*map(int, numbers))


if __name__ == "__main__":
    app(prog_name="python -m export.engines")
