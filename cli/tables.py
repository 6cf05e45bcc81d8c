"""Tables on stdout, a line per row: for people, and for `grep` and `awk`."""

from collections.abc import Sequence

import typer

from protocol.printable import printable


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as their longest cell; what a cell says cannot command the terminal."""
    cells = [list(map(printable, row)) for row in (head, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    for row in cells:
        typer.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
