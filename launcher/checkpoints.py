"""The exported checkpoints of a repository, as they are now: looked at again and again while the server runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from launcher.errors import in_words
from launcher.release_check import export_command
from protocol.model_card import CARD_FILE, ModelCard
from protocol.repository import ENSEMBLE, VERSION, RepositoryStamp
from protocol.sampling import SPECS

Mark = tuple[int, int]
"""changes whenever a folder or file is replaced: its inode, and the time at which what is in it was last written"""


@dataclass(frozen=True)
class ExportedCheckpoint:
    """A checkpoint with all models that it runs on."""

    card: ModelCard
    card_mark: Mark
    models: Mapping[str, Mark]
    """Triton models"""


@dataclass(frozen=True)
class Exports:
    """What a repository holds, by the name of the folder that a checkpoint's card is in."""

    complete: Mapping[str, ExportedCheckpoint]
    """see `in_order`"""
    lacking: Mapping[str, tuple[str, ...]]
    """the models without weights that a checkpoint runs on"""
    unreadable: Mapping[str, str]
    """why a checkpoint's card cannot be read"""

    @property
    def broken(self) -> dict[str, str]:
        """Why what is in a folder cannot be served."""
        reasons = {
            folder: f"without weights: {', '.join(models)}; export the checkpoint again"
            for folder, models in self.lacking.items()
        }
        return reasons | dict(self.unreadable)


def look(repository: Path, chosen: Sequence[str] = ()) -> Exports:
    """What is there now.

    Args:
        chosen: ids of the checkpoints to look at; empty for all.
    """
    complete: dict[str, ExportedCheckpoint] = {}
    lacking: dict[str, tuple[str, ...]] = {}
    unreadable: dict[str, str] = {}
    if not _is_current(repository):  # what another release wrote goes when a checkpoint is exported into it
        return Exports(complete, lacking, unreadable)
    version = repository / ENSEMBLE / VERSION
    for folder in subfolders(version) if version.is_dir() else ():
        file = folder / CARD_FILE
        try:
            if not file.exists():
                continue
            card_mark = _mark(file)
            card = ModelCard.read(folder)
            if card.family not in SPECS:
                raise ValueError(f"family: {card.family} is not known")
            if chosen and card.id not in chosen:
                continue
            marks = {model: _mark_of(repository / model) for model in card.components.names()}
        except FileNotFoundError:
            continue  # it is just going
        except OSError as error:
            unreadable[folder.name] = f"Cannot read {error.filename or file}: {in_words(error)}."
        except ValueError as error:  # not UTF-8, not JSON, or not what a card says
            unreadable[folder.name] = (
                f"{file} is not a model card of this release ({_first_reason(error)}). Export the checkpoint again. "
                f"Run: {export_command(repository)}"
            )
        else:
            models = {model: mark for model, mark in marks.items() if mark is not None}
            if len(models) == len(marks):
                complete[folder.name] = ExportedCheckpoint(card, card_mark, models)
            else:
                lacking[folder.name] = tuple(model for model in marks if model not in models)
    return Exports(in_order(complete, chosen), lacking, unreadable)


def in_order(checkpoints: Mapping[str, ExportedCheckpoint], chosen: Sequence[str]) -> dict[str, ExportedCheckpoint]:
    """As chosen, or by the names of their folders."""
    place = {model_id: number for number, model_id in enumerate(chosen)}
    return dict(sorted(checkpoints.items(), key=lambda item: (place.get(item[1].card.id, 0), item[0])))


def _first_reason(error: ValueError) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    return ": ".join([*(str(part) for part in first["loc"]), first["msg"]])


def _is_current(repository: Path) -> bool:
    try:
        return RepositoryStamp.read(repository).is_current
    except OSError:
        return False


def subfolders(folder: Path) -> list[Path]:
    """Sorted; without the one at the root of a disk that only its administrator can read."""
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and entry.name != "lost+found")


def _mark_of(model: Path) -> Mark | None:
    """Of a Triton model's files; None where it lacks some."""
    try:
        if (model / "config.pbtxt").is_file() and any(file.is_file() for file in (model / VERSION).iterdir()):
            return _mark(model / VERSION)
    except FileNotFoundError:
        pass
    return None


def _mark(path: Path) -> Mark:
    # not the folder's own time: Python writes its __pycache__ beside what it runs
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    return path.stat().st_ino, max(file.stat().st_mtime_ns for file in files)
