"""Whether a repository's checkpoints were exported by a release that this one can serve."""

import logging
from pathlib import Path

from launcher.errors import SetupError
from launcher.settings import TOY_REPOSITORY
from protocol.model_card import CARD_FILE
from protocol.repository import ENSEMBLE, FORMAT, OWN_REPOSITORY, REPOSITORY_FILE, VERSION, RepositoryStamp, stamp

logger = logging.getLogger(__name__)


def export_command(repository: Path, checkpoint: str = "PATH/TO/CHECKPOINT") -> str:
    """What to run to export a checkpoint into the repository again."""
    if repository.resolve() == TOY_REPOSITORY.resolve():
        return "make export"
    return f"python -m export {checkpoint} --to {repository}"


def check_release(repository: Path, own: Path = OWN_REPOSITORY) -> None:
    """Refuse a repository of another format; bring the configurations of an older release up to date.

    Raises:
        SetupError: saying what to run.
        OSError: a file cannot be read or written.
    """
    checkpoints = sorted((repository / ENSEMBLE / VERSION).glob(f"*/{CARD_FILE}"))
    if not checkpoints:
        return
    found = RepositoryStamp.read(repository)
    if found.format > FORMAT:
        raise SetupError(
            f"{repository} was written by a newer release, Tritonreel {found.release}. Serve it with that one, or "
            f"export its checkpoints into another folder:\n  {export_command(Path('PATH/TO/FOLDER'))}"
        )
    if not found.is_current:
        raise SetupError(
            f"{repository} was written by an older release of Tritonreel. Export each of its checkpoints again "
            f"({', '.join(card.parent.name for card in checkpoints)}):\n  {export_command(repository)}"
        )
    outdated = found.outdated(repository, own)
    for path in outdated:
        _replace(repository / path, (own / path).read_bytes())
    if outdated:
        logger.info("brought up to date in %s: %s", repository, ", ".join(outdated))
        _replace(repository / REPOSITORY_FILE, stamp(repository, own, outdated).to_bytes())
    for path in found.edited(repository, own):
        logger.warning(
            "%s has been edited and stays as it is; this release has another one: %s", repository / path, own / path
        )


def _replace(file: Path, content: bytes) -> None:
    partial = file.with_name(f".{file.name}.part")
    partial.write_bytes(content)
    partial.replace(file)
