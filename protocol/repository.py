"""Which release wrote a model repository, and its files that are not made of a checkpoint: the companions.

Companions are each model's config.pbtxt and generate's code. `repository.json` tells those that a release wrote from
those that somebody has edited since: the former follow the installed release, the latter stay as they are.
"""

import hashlib
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

OWN_REPOSITORY = Path(__file__).resolve().parent.parent / "model_repository"
"""the one that the installed release comes with: the configuration of every Triton model, and generate's code"""
ENSEMBLE = "generate"
"""the model that calls all others, and is of no use without them"""
VERSION = "1"
"""of every model"""
REPOSITORY_FILE = "repository.json"
FORMAT = 4
"""Goes up when what is exported, cards or graphs, changes so that checkpoints must be exported again.

0 is what releases before this file wrote; 1 had tokenizers that only transformers can read; the transformers of 2 took
low-rank updates only; the VAEs of 3 had no colours of their latents."""


class RepositoryStamp(BaseModel):
    """`repository.json`."""

    model_config = ConfigDict(frozen=True)

    release: str = "unknown"
    """of Tritonreel, that wrote last"""
    format: int = 0
    companions: dict[str, str] = {}
    """SHA-256 of each companion as a release wrote it, by its path in the repository"""

    @classmethod
    def read(cls, repository: Path) -> "RepositoryStamp":
        """Of a repository that has none, or none that can be read, one of format 0. Raises OSError."""
        try:
            return cls.model_validate_json((repository / REPOSITORY_FILE).read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return cls()

    @property
    def is_current(self) -> bool:
        """Whether checkpoints in the repository can be served by this release."""
        return self.format == FORMAT

    def to_bytes(self) -> bytes:
        """What `repository.json` holds."""
        return (self.model_dump_json(indent=2) + "\n").encode()

    def outdated(self, repository: Path, own: Path) -> list[str]:
        """Companions that are as a release wrote them, and that the installed release has changed.

        Args:
            own: the repository that the installed release comes with.
        """
        return [path for path in differing(repository, own) if self.companions.get(path) == _digest(repository / path)]

    def edited(self, repository: Path, own: Path) -> list[str]:
        """Companions that somebody has edited, and that the installed release has changed since."""
        return [
            path
            for path in differing(repository, own)
            if path in self.companions
            and self.companions[path] not in (_digest(repository / path), _digest(own / path))
        ]


def stamp(repository: Path, own: Path, written: list[str]) -> RepositoryStamp:
    """What repository.json has to say once the companions `written` are those of the installed release."""
    before = RepositoryStamp.read(repository)
    others = set(differing(repository, own)).difference(written)
    ours = {path: _digest(own / path) for path in companions(own) if path not in others}
    known = before.companions | ours
    return RepositoryStamp(release=version("tritonreel"), format=FORMAT, companions=dict(sorted(known.items())))


def companions(own: Path) -> list[str]:
    """Paths of all companions that the installed release has."""
    files = [*own.glob("*/config.pbtxt"), *own.glob(f"{ENSEMBLE}/{VERSION}/*.py")]
    return sorted(str(file.relative_to(own)) for file in files)


def differing(repository: Path, own: Path) -> list[str]:
    """Companions that are not as the installed release has them."""
    present = [path for path in companions(own) if (repository / path).is_file()]
    return [path for path in present if (repository / path).read_bytes() != (own / path).read_bytes()]


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
