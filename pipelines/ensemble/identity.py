"""What makes two jobs the same, so that one can go on where the other was."""

import hashlib
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

import torch

from pipelines.runner import Shared
from protocol.model_card import ModelCard
from protocol.sampling import Spec


def model_identity(card: ModelCard, models: Path, device: torch.device) -> str:
    """A digest of what latents depend on, whatever is asked for: checkpoint, release, kind of device.

    Args:
        models: the model repository.
    """
    digest = hashlib.sha256(f"{version('tritonreel')} {torch.__version__} {device.type}\n".encode())
    digest.update(f"{card.model_dump_json()}\n".encode())
    for name in card.components.names():
        _add_model(digest, models / name / "1")
    return digest.hexdigest()


def job_identity(model: str, params: Spec, adapters: Iterable[Shared]) -> str:
    """A digest of everything that the latents of a job depend on.

    Args:
        model: what `model_identity` gave.
        adapters: what each transformer gets of them.
    """
    digest = hashlib.sha256(f"{model}\n{params.model_dump_json()}\n".encode())
    for shared in adapters:
        digest.update(f"{shared.key}\n".encode())
    if params.image is not None:
        digest.update(params.image.tobytes())
    return digest.hexdigest()


def _add_model(digest: "hashlib._Hash", folder: Path) -> None:
    """Weights by their names and sizes, and by what the export's own record beside them says of their content."""
    for file in sorted(folder.glob("*")):
        digest.update(f"{folder.parent.name} {file.name} {file.stat().st_size}\n".encode())
        if file.suffix == ".json":
            digest.update(file.read_bytes())
