"""Which models of a repository folder can be loaded."""

from dataclasses import dataclass
from pathlib import Path

from launcher.errors import SetupError

ENSEMBLE = "generate"
"""The model that calls all others, and is of no use without them."""


@dataclass(frozen=True)
class RepositoryModels:
    """Model names, sorted; those without exported files are left out of `exported`."""

    exported: tuple[str, ...]
    missing: tuple[str, ...]


def read_repository(folder: Path) -> RepositoryModels:
    """List the models of `folder`.

    Raises SetupError when there is none to load, or `generate` has none of the models that it runs on.
    """
    if not folder.is_dir():
        raise SetupError(f"The model repository {folder} does not exist. Choose one with --model-repository.")
    models = sorted(config.parent for config in folder.glob("*/config.pbtxt"))
    if not models:
        raise SetupError(f"{folder} is not a model repository: no folder in it has a config.pbtxt.")
    exported = tuple(model.name for model in models if _has_files(model))
    missing = tuple(model.name for model in models if model.name not in exported)
    if not exported or (exported == (ENSEMBLE,) and missing):
        raise SetupError(
            f"No model in {folder} has its weights yet. Export a checkpoint first:\n"
            "  make export\n"
            "which runs: python -m export checkpoints/toy-wan-t2v --family wan_t2v --to model_repository"
        )
    return RepositoryModels(exported, missing)


def _has_files(model: Path) -> bool:
    versions = [folder for folder in model.iterdir() if folder.is_dir() and folder.name.isdigit()]
    return any(file.is_file() for version in versions for file in version.iterdir())
