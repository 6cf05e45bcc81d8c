"""The export of one checkpoint in this process, whose errors are raised."""

from collections.abc import Callable, Sequence
from pathlib import Path

from export.component import Exported
from export.errors import ExportError
from export.exporter import export_checkpoints, run_in_this_process
from export.family import Family
from export.options import Options
from protocol.model_card import ModelCard


class _Raising:
    """A `Listener`."""

    def __init__(self, on_stage: Callable[[str], None]) -> None:
        self.stage = on_stage
        self.results: list[Exported] = []

    def planned(self, folder: Path, card: ModelCard) -> None:
        pass

    def exported(self, folder: Path, exported: Exported) -> None:
        self.results.append(exported)

    def published(self, folder: Path, results: Sequence[Exported], seconds: float) -> None:
        assert sorted(results, key=_model) == sorted(self.results, key=_model)

    def failed(self, folder: Path, error: ExportError) -> None:
        raise error


def _model(exported: Exported) -> str:
    return exported.model


def export_one(
    folder: Path,
    family: Family,
    repository: Path,
    options: Options,
    on_stage: Callable[[str], None] = lambda stage: None,
) -> list[Exported]:
    """What became of its components, in the order in which they were done."""
    listener = _Raising(on_stage)
    export_checkpoints([(folder, lambda _: family)], repository, options, run_in_this_process, listener)
    return listener.results
