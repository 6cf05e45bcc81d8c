"""`python -m toy.training`: one command per checkpoint."""

import os
from pathlib import Path
from typing import Annotated

import torch
import typer

from toy.training import toy_qwen_image, toy_wan_i2v, toy_wan_t2v, toy_wan_ti2v
from toy.training.side_by_side import start_log

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train the toy checkpoints from nothing.")

To = Annotated[Path, typer.Option(help="the checkpoint folder to write")]
State = Annotated[Path, typer.Option(help="where training keeps its state; a run goes on from what lies there")]
Minutes = Annotated[float, typer.Option(help="the number of steps is scaled to take about this long on two CPU cores")]
Start = Annotated[Path, typer.Option("--from", help="the toy-wan-t2v checkpoint whose weights it begins with")]

T2V = Path("toy/checkpoints/toy-wan-t2v")


@app.callback()
def main() -> None:
    start_log()
    # a stage alone is 1.5 times as fast with two; more do not help models this small, and two side by side get one each
    torch.set_num_threads(min(2, os.cpu_count() or 1))


@app.command("toy-wan-t2v")
def wan_t2v(to: To = T2V, state: State = Path("run/training/toy-wan-t2v"), minutes: Minutes = 75) -> None:
    """Text-to-video with two experts, and the autoencoder of all the others."""
    toy_wan_t2v.train(state, to, minutes / 75)


@app.command("toy-wan-i2v")
def wan_i2v(
    to: To = Path("toy/checkpoints/toy-wan-i2v"),
    state: State = Path("run/training/toy-wan-i2v"),
    start: Start = T2V,
    minutes: Minutes = 15,
) -> None:
    """Image-to-video with two experts."""
    toy_wan_i2v.train(toy_wan_i2v.Workplace(state, start, minutes / 15), to)


@app.command("toy-wan-ti2v")
def wan_ti2v(
    to: To = Path("toy/checkpoints/toy-wan-ti2v"),
    state: State = Path("run/training/toy-wan-ti2v"),
    start: Start = T2V,
    minutes: Minutes = 98,
) -> None:
    """Text-to-video and image-to-video in one transformer, with an autoencoder of its own."""
    toy_wan_ti2v.train(toy_wan_ti2v.Workplace(state, start, minutes / 98), to)


@app.command("toy-qwen-image")
def qwen_image(
    to: To = Path("toy/checkpoints/toy-qwen-image"),
    state: State = Path("run/training/toy-qwen-image"),
    start: Start = T2V,
    minutes: Minutes = 96,
) -> None:
    """Text-to-image."""
    toy_qwen_image.train(toy_qwen_image.Workplace(state, start / "vae", minutes / 96), to)


if __name__ == "__main__":
    app()
