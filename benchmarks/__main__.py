"""`python -m benchmarks`: the server against diffusers, and perf_analyzer over Triton."""

import asyncio
import shlex
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from benchmarks import chart, fairness, memory, perf_analyzer, report
from benchmarks.http_benchmark import run_http
from benchmarks.machine import describe
from launcher.background import BackgroundServer
from launcher.settings import PROJECT_ROOT, TOY_REPOSITORY
from protocol.model_card import CARD_FILE, ModelCard

CONCURRENCIES = (1, 2, 4, 8)
FAMILY = "wan_t2v"

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def benchmark(
    checkpoint: Annotated[
        Path, typer.Option(help="What diffusers loads; the model repository must have been exported from it.")
    ] = PROJECT_ROOT / "toy" / "checkpoints" / "toy-wan-t2v",
    model_repository: Annotated[Path, typer.Option(help="What the server loads.")] = TOY_REPOSITORY,
    rounds: Annotated[int, typer.Option(min=3, help="Rounds of the HTTP benchmark.")] = 20,
    videos: Annotated[int, typer.Option(min=8, help="Videos of each perf_analyzer level.")] = 48,
    to: Annotated[Path, typer.Option(help="Folder for report.md, chart.png and raw data.")] = Path("bench-results"),
) -> None:
    """Measure latency, throughput, overhead and memory; print a Markdown report and draw a chart.

    Starts a server of its own on free ports. diffusers and the server take turns, so that both meet the same noise;
    rounds in which other programs were busy are left out. Leave the machine alone meanwhile.
    """
    card_folder = model_repository / "generate" / "1" / FAMILY
    if not (card_folder / CARD_FILE).exists():
        typer.echo(f"Nothing is exported in {model_repository}: run `make export` first.", err=True)
        raise typer.Exit(1)
    card = ModelCard.read(card_folder)
    to.mkdir(parents=True, exist_ok=True)
    with BackgroundServer(model_repository, to / "server", "--model", card.id) as server:
        _say(f"HTTP against diffusers, {rounds} rounds")
        http = run_http(server, checkpoint, card, rounds)
        binary = perf_analyzer.install(to / "perf_analyzer")
        levels = []
        for concurrency in CONCURRENCIES:
            _say(f"perf_analyzer, {concurrency} in flight")
            levels.append(perf_analyzer.run(binary, server.grpc, card.id, concurrency, videos, to))
        _say("a small video beside a large one")
        waited = asyncio.run(fairness.steps_waited(server))
    _say("memory of decoding")
    short, long = (memory.peak_mib(model_repository, FAMILY, frames) for frames in (41, 161))

    own = card.defaults
    video = f"{own.width}x{own.height}, {own.num_frames} frames, {own.num_inference_steps} steps"
    command = shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]])
    text = "\n\n".join(
        [
            f"{card.id}, {video}, float32.  \n{describe()}.  \n{datetime.now(UTC):%Y-%m-%d}, `{command}`",
            report.goals_table(
                [*report.http_goals(http), report.memory_goal(short, long), report.fairness_goal(waited)]
            ),
            report.http_table(http),
            report.perf_analyzer_table(levels, own.num_frames),
        ]
    )
    (to / "report.md").write_text(text + "\n")
    chart.draw(http, levels, to / "chart.png")
    typer.echo(text)
    _say(f"written to {to}: report.md, chart.png")


def _say(what: str) -> None:
    typer.echo(f"... {what}", err=True)


if __name__ == "__main__":
    app(prog_name="python -m benchmarks")
