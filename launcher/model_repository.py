"""Which models of a repository folder a server can start with."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.checkpoints import Exports, look, subfolders
from launcher.errors import SetupError, in_words
from launcher.release_check import check_release
from protocol.repository import ENSEMBLE

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RepositoryModels:
    """What to load."""

    load: tuple[str, ...]
    """names of Triton models, sorted"""
    missing: tuple[str, ...]
    """those that a checkpoint runs on, but that have no weights"""
    exports: Exports


def read_repository(folder: Path, chosen: Sequence[str] = ()) -> RepositoryModels:
    """List the models of `folder`, and warn of cards that cannot be read.

    Args:
        chosen: ids of the checkpoints to serve; empty for all, and for models that no checkpoint runs on.

    Raises SetupError when there is none to load, no card can be read, or a chosen checkpoint cannot be served.
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
    models = [model for model in subfolders(folder) if (model / "config.pbtxt").is_file()]
    if not models:
        raise SetupError(f"{folder} is not a model repository: no folder in it has a config.pbtxt.")
    exported = [model.name for model in models if _has_files(model)]
    if not set(exported) - {ENSEMBLE}:
        raise SetupError(
            f"No model in {folder} has its weights yet. Serve the toy checkpoints with `make serve`, or export yours:\n"
            "  python -m export PATH/TO/CHECKPOINT"
        )
    check_release(folder)
    found = look(folder, chosen)
    served = {checkpoint.card.id: checkpoint for checkpoint in found.complete.values()}
    lacking = {model for models in found.lacking.values() for model in models}
    needed = {ENSEMBLE, *(model for checkpoint in served.values() for model in checkpoint.models)}
    missing = tuple(sorted(lacking.union(needed.difference(exported) if served or lacking else ())))
    if chosen and missing:
        raise SetupError(f"{', '.join(missing)} in {folder} has no weights; export the checkpoint again.")
    unknown = [model_id for model_id in chosen if model_id not in served]
    if found.unreadable and (unknown or not (served or lacking)):
        raise SetupError("\n".join(found.unreadable.values()))
    if unknown:
        there = ", ".join(checkpoint.card.id for checkpoint in look(folder).complete.values()) or "none"
        raise SetupError(f"There is no model {unknown[0]!r} in {folder}; exported there: {there}.")
    for reason in found.unreadable.values():
        logger.warning("one checkpoint is not served: %s", reason)
    load = tuple(name for name in exported if name in needed or not chosen)
    return RepositoryModels(load, missing, found)


def _has_files(model: Path) -> bool:
    versions = [folder for folder in subfolders(model) if folder.name.isdigit()]
    return any(file.is_file() for version in versions for file in version.iterdir())
