"""Which models of a repository folder can be loaded, and which checkpoints they make up."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from launcher.errors import SetupError, in_words
from launcher.release_check import check_release, export_command
from protocol.model_card import CARD_FILE, ModelCard

logger = logging.getLogger(__name__)

ENSEMBLE = "generate"
"""The model that calls all others, and is of no use without them."""


@dataclass(frozen=True)
class RepositoryModels:
    """What to load."""

    load: tuple[str, ...]
    """names of Triton models, sorted"""
    missing: tuple[str, ...]
    """those that a checkpoint runs on, but that have no weights"""
    cards: tuple[ModelCard, ...]
    """the checkpoints that are served then"""


def read_repository(folder: Path, chosen: Sequence[str] = ()) -> RepositoryModels:
    """List the models of `folder`.

    Args:
        chosen: ids of the checkpoints to serve; empty for all.

    Raises SetupError when there is none to load, `generate` has none of the models that it runs on, or a chosen
    checkpoint was not exported.
    """
    try:
        return _read_repository(folder, chosen)
    except OSError as error:
        raise SetupError(
            f"Cannot read the model repository {folder}: {in_words(error)}. Choose another one with --model-repository."
        ) from error


def _read_repository(folder: Path, chosen: Sequence[str]) -> RepositoryModels:
    """As `read_repository`, but raises OSError as well."""
    if not folder.exists():
        raise SetupError(f"The model repository {folder} does not exist. Choose one with --model-repository.")
    models = [model for model in _subfolders(folder) if (model / "config.pbtxt").is_file()]
    if not models:
        raise SetupError(f"{folder} is not a model repository: no folder in it has a config.pbtxt.")
    exported = tuple(model.name for model in models if _has_files(model))
    if not set(exported) - {ENSEMBLE}:
        raise SetupError(
            f"No model in {folder} has its weights yet. Serve the toy checkpoints with `make serve`, or export yours:\n"
            "  python -m export PATH/TO/CHECKPOINT"
        )
    check_release(folder)
    versions = _subfolders(folder / ENSEMBLE) if (folder / ENSEMBLE).is_dir() else []
    checkpoints = [checkpoint for version in versions for checkpoint in _subfolders(version)]
    cards, errors = [], []
    for checkpoint in checkpoints:
        if (checkpoint / CARD_FILE).is_file():
            try:
                cards.append(_read_card(checkpoint, folder))
            except SetupError as error:
                errors.append(str(error))
    if errors and not cards:
        raise SetupError("\n".join(errors))
    for message in errors:
        logger.warning("one checkpoint is not served: %s", message)
    served = tuple(_find(model_id, cards, folder) for model_id in chosen) if chosen else tuple(cards)
    needed = {name for card in served for name in (ENSEMBLE, *card.components.names())}
    missing = tuple(sorted(needed.difference(exported)))
    if chosen and missing:
        raise SetupError(f"{', '.join(missing)} in {folder} has no weights; export the checkpoint again.")
    return RepositoryModels(tuple(name for name in exported if name in needed or not chosen), missing, served)


def _subfolders(folder: Path) -> list[Path]:
    """Sorted; without the one at the root of a disk that only its administrator can read."""
    return sorted(entry for entry in folder.iterdir() if entry.is_dir() and entry.name != "lost+found")


def _read_card(checkpoint: Path, repository: Path) -> ModelCard:
    try:
        return ModelCard.read(checkpoint)
    except ValueError as error:  # not UTF-8, not JSON, or not what a card says
        reason = str(error)
        if isinstance(error, ValidationError):
            first = error.errors(include_url=False, include_input=False)[0]
            reason = ": ".join([*(str(part) for part in first["loc"]), first["msg"]])
        raise SetupError(
            f"{checkpoint / CARD_FILE} is not a model card of this release ({reason}). Export the checkpoint again. "
            f"Run: {export_command(repository)}"
        ) from error


def _find(model_id: str, cards: Sequence[ModelCard], folder: Path) -> ModelCard:
    for card in cards:
        if card.id == model_id:
            return card
    exported = ", ".join(card.id for card in cards) or "none"
    raise SetupError(f"There is no model {model_id!r} in {folder}; exported there: {exported}.")


def _has_files(model: Path) -> bool:
    versions = [folder for folder in _subfolders(model) if folder.name.isdigit()]
    return any(file.is_file() for version in versions for file in version.iterdir())
