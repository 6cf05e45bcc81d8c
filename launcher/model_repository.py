"""Which models of a repository folder can be loaded, and which checkpoints they make up."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import SetupError
from pipelines.model_card import CARD_FILE, ModelCard

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
    if not folder.is_dir():
        raise SetupError(f"The model repository {folder} does not exist. Choose one with --model-repository.")
    models = sorted(config.parent for config in folder.glob("*/config.pbtxt"))
    if not models:
        raise SetupError(f"{folder} is not a model repository: no folder in it has a config.pbtxt.")
    exported = tuple(model.name for model in models if _has_files(model))
    if not set(exported) - {ENSEMBLE}:
        raise SetupError(
            f"No model in {folder} has its weights yet. Serve the toy checkpoints with `make serve`, or export yours:\n"
            "  python -m export PATH/TO/CHECKPOINT"
        )
    cards = [ModelCard.read(card.parent) for card in sorted(folder.glob(f"{ENSEMBLE}/*/*/{CARD_FILE}"))]
    served = tuple(_find(model_id, cards, folder) for model_id in chosen) if chosen else tuple(cards)
    needed = {name for card in served for name in (ENSEMBLE, *card.components.names())}
    missing = tuple(sorted(needed.difference(exported)))
    if chosen and missing:
        raise SetupError(f"{', '.join(missing)} in {folder} has no weights; export the checkpoint again.")
    return RepositoryModels(tuple(name for name in exported if name in needed or not chosen), missing, served)


def _find(model_id: str, cards: Sequence[ModelCard], folder: Path) -> ModelCard:
    for card in cards:
        if card.id == model_id:
            return card
    exported = ", ".join(card.id for card in cards) or "none"
    raise SetupError(f"There is no model {model_id!r} in {folder}; exported there: {exported}.")


def _has_files(model: Path) -> bool:
    versions = [folder for folder in model.iterdir() if folder.is_dir() and folder.name.isdigit()]
    return any(file.is_file() for version in versions for file in version.iterdir())
