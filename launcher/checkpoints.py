"""The exported checkpoints of a repository, as they are now: looked at again and again while the server runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from launcher.release_check import export_command
from protocol.model_card import CARD_FILE, ModelCard
from protocol.repository import ENSEMBLE, VERSION, RepositoryStamp

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
    """What a repository holds."""

    complete: Mapping[str, ExportedCheckpoint]
    """by the name of the folder that the card is in; see `in_order`"""
    broken: Mapping[str, str]
    """folder -> why what is in it cannot be served"""


def look(repository: Path, chosen: Sequence[str] = ()) -> Exports:
    """What is there now. What cannot be read is not there.

    Args:
        chosen: ids of the checkpoints to look at; empty for all.
    """
    complete: dict[str, ExportedCheckpoint] = {}
    broken: dict[str, str] = {}
    if not _is_current(repository):
        return Exports(complete, broken)  # what another release wrote goes when a checkpoint is exported into it
    for file in sorted((repository / ENSEMBLE / VERSION).glob(f"*/{CARD_FILE}")):
        name = file.parent.name
        try:
            card_mark = _mark(file)
            card = ModelCard.read(file.parent)
            if chosen and card.id not in chosen:
                continue
            models = {model: _mark(_version(repository, model)) for model in card.components.names()}
        except FileNotFoundError as error:
            broken[name] = f"{error.filename} is missing. {_export_again(repository)}"
        except (OSError, ValueError) as error:
            reason = _in_words(error)
            broken[name] = f"{file} is not a model card of this release ({reason}). {_export_again(repository)}"
        else:
            complete[name] = ExportedCheckpoint(card, card_mark, models)
    return Exports(in_order(complete, chosen), broken)


def in_order(checkpoints: Mapping[str, ExportedCheckpoint], chosen: Sequence[str]) -> dict[str, ExportedCheckpoint]:
    """As chosen, or by name: the first that can do what a request asks for serves those that name no model."""
    place = {model_id: number for number, model_id in enumerate(chosen)}
    return dict(sorted(checkpoints.items(), key=lambda item: (place.get(item[1].card.id, 0), item[0])))


def _export_again(repository: Path) -> str:
    return f"Export the checkpoint again. Run: {export_command(repository)}"


def _in_words(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors(include_url=False, include_input=False)[0]
    return ": ".join([*(str(part) for part in first["loc"]), first["msg"]])


def _is_current(repository: Path) -> bool:
    try:
        return RepositoryStamp.read(repository).is_current
    except OSError:
        return False


def _version(repository: Path, model: str) -> Path:
    """The folder with the model's files."""
    folder = repository / model / VERSION
    if not any(file.is_file() for file in folder.iterdir()):
        raise FileNotFoundError(2, "it is empty", str(folder))
    if not (repository / model / "config.pbtxt").is_file():
        raise FileNotFoundError(2, "there is none", str(repository / model / "config.pbtxt"))
    return folder


def _mark(path: Path) -> Mark:
    # not the folder's own time: Python writes its __pycache__ beside what it runs
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    return path.stat().st_ino, max(file.stat().st_mtime_ns for file in files)
