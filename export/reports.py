"""What an export says while it runs: to people, or to the launcher."""

import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.table import Table

from protocol.export_events import ExportEvent

if TYPE_CHECKING:
    from export.component import Exported
    from export.disk import DiskUse
    from export.errors import ExportError
    from protocol.model_card import ModelCard


class ConsoleListener:
    """An `export.exporter.Listener` for people. A context manager: shows what is being done."""

    def __init__(self, console: Console, repository: Path) -> None:
        self._console = console
        self._repository = repository
        self._status = console.status("starting")
        self._plans = 0
        self.has_failed = False

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    def planned(self, folder: Path, card: "ModelCard") -> None:
        self._plans += 1

    def stage(self, words: str) -> None:
        self._status.update(words)

    def disk(self, use: "DiskUse") -> None:
        self._console.print(str(use)[0].upper() + str(use)[1:], markup=False)

    def exported(self, folder: Path, exported: "Exported") -> None:
        files = ", ".join(f"{exported.model}/1/{file}" for file in exported.graphs)
        unchanged = ", unchanged" if exported.is_reused else ""
        of_checkpoint = f"{folder.name}: " if self._plans > 1 else ""
        self._console.print(f"[green]✓[/] {of_checkpoint}{exported.component}: {files}{unchanged}")

    def published(self, folder: Path, results: "Sequence[Exported]", seconds: float) -> None:
        self._console.print(_table(results))
        self._console.print(f"{folder} is in {self._repository} after {seconds:.0f} s", markup=False)

    def unchanged(self, folder: Path) -> None:
        self._console.print(f"{folder} is in {self._repository} already, unchanged", markup=False)

    def failed(self, folder: Path, error: "ExportError") -> None:
        self.has_failed = True
        of_checkpoint = f"{folder}: " if self._plans > 1 and str(folder) not in str(error) else ""
        self._console.print("[bold red]Export failed:[/]", f"{of_checkpoint}{error}", markup=True)


class EventListener:
    """An `export.exporter.Listener` for the launcher: lines of JSON on the standard output."""

    def __init__(self) -> None:
        self.has_failed = False
        self._ids: dict[Path, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def planned(self, folder: Path, card: "ModelCard") -> None:
        self._say(ExportEvent(kind="planned", folder=folder, model=card.id, tasks=card.tasks))

    def stage(self, words: str) -> None:
        self._say(ExportEvent(kind="stage", message=words))

    def disk(self, use: "DiskUse") -> None:
        self._say(ExportEvent(kind="stage", message=str(use)))

    def exported(self, folder: Path, exported: "Exported") -> None:
        self._say(ExportEvent(kind="exported", folder=folder, message=exported.component))

    def published(self, folder: Path, results: "Sequence[Exported]", seconds: float) -> None:
        self._say(ExportEvent(kind="published", folder=folder, message=f"{seconds:.0f} s"))

    def unchanged(self, folder: Path) -> None:
        self._say(ExportEvent(kind="unchanged", folder=folder))

    def failed(self, folder: Path, error: "ExportError") -> None:
        self.has_failed = True
        self._say(ExportEvent(kind="failed", folder=folder, message=str(error)))

    @staticmethod
    def _say(event: ExportEvent) -> None:
        sys.stdout.write(event.model_dump_json(exclude_none=True) + "\n")
        sys.stdout.flush()


def _table(results: "Sequence[Exported]") -> Table:
    table = Table()
    table.add_column("model", no_wrap=True)
    for heading in ("parameters", "size", "export", "compare", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    for exported in results:
        source = exported.source
        table.add_row(
            exported.model,
            f"{source.parameters / 1e6:,.2f} M",
            f"{sum(source.files.values()) / 1e6:,.1f} MB",
            "reused" if exported.export_seconds is None else f"{exported.export_seconds:.1f} s",
            "" if exported.compare_seconds is None else f"{exported.compare_seconds:.1f} s",
            f"{source.max_difference:.1e}"
            if source.signal_to_noise is None
            else f"{source.precision}, {source.signal_to_noise:.1f} dB",
        )
    return table
