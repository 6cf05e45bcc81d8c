"""`python -m export.tiny`."""

from pathlib import Path
from typing import Annotated

import typer

from export.quiet import quiet_libraries
from export.tiny.layouts import LayoutName, build


def main(
    folder: Annotated[Path, typer.Argument(help="Folder to write; it must be empty or absent.")],
    layout: Annotated[LayoutName, typer.Option(help="Which of the checkpoints.")] = LayoutName.TWO_EXPERTS,
    seed: Annotated[int, typer.Option(min=0, help="Equal seeds give equal files.")] = 0,
    real_vae: Annotated[bool, typer.Option("--real-vae", help="A VAE as wide as the published one.")] = False,
) -> None:
    """Write a tiny checkpoint with random weights, for trying out and testing an export.

    Example:

      python -m export.tiny run/tiny --layout wide --seed 1

      python -m export run/tiny --to run/repository
    """
    quiet_libraries()
    try:
        build(folder, layout, seed, real_vae)
    except FileExistsError as error:
        raise typer.BadParameter(str(error), param_hint="FOLDER") from None


if __name__ == "__main__":
    typer.run(main)
