"""A diffusers checkpoint folder into a Triton model repository."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from pydantic import ValidationError

from export.checkpoint import open_checkpoint
from export.component import Exported, export_component
from export.defaults import read_defaults
from export.errors import RepositoryError
from export.family import Family
from export.options import Options
from export.source import component_fingerprint, exporter_fingerprint, read_source
from export.staging import staged
from pipelines.lora.targets import write_targets
from protocol.model_card import CARD_FILE, ModelCard
from protocol.repository import REPOSITORY_FILE, RepositoryStamp, companions, differing, stamp

OWN_REPOSITORY = Path(__file__).resolve().parent.parent / "model_repository"
"""the project's own, which holds the configuration of every Triton model"""

_VERSION = "1"
_GENERATE = "generate"


def export_checkpoint(
    folder: Path,
    family: Family,
    repository: Path,
    options: Options,
    on_stage: Callable[[str], None] = lambda stage: None,
    on_exported: Callable[[Exported], None] = lambda exported: None,
) -> list[Exported]:
    """Export every component, compare each with its torch module, then put all of it in the repository.

    A component of which the repository holds the same export already is left as it is.

    Args:
        folder: the checkpoint.
        on_stage: hears what is being done, a few words each time.
        on_exported: hears of each component once it has passed the comparison.

    Raises:
        ExportError: the repository is then as it was before.
    """
    checkpoint = open_checkpoint(folder, family.layout)
    own = read_defaults(folder)
    card = family.card(checkpoint, own.model_copy(update={"id": options.model_id or own.id}))
    try:
        found = RepositoryStamp.read(repository)
    except OSError as error:
        raise RepositoryError(f"cannot read {repository}: {error}") from error
    to_write = _companions_to_write(family, repository, found)
    parts = [part for part in family.parts if part.source in checkpoint.models]
    on_stage("reading the weights")
    of_source = {source: component_fingerprint(folder / source) for source in checkpoint.models}
    fingerprints = {part.model: of_source[part.source] for part in parts}
    of_exporter = exporter_fingerprint(options)

    with staged(repository) as staging:
        _check_shared(repository, card, fingerprints)
        results = []
        for part in parts:
            version = f"{part.model}/{_VERSION}"
            made_from = (fingerprints[part.model], of_exporter)
            present = read_source(repository / version)
            if present is not None and present.serves(repository / version, *made_from):
                exported = Exported(part.component, part.model, present)
            else:
                exported = export_component(
                    part, folder / part.source, staging.new(version), options, made_from, on_stage
                )
            on_exported(exported)
            results.append(exported)
        generate = staging.new(f"{_GENERATE}/{_VERSION}/{family.name}")
        generate.mkdir()
        card.write(generate)
        targets = {one.component: one.source.adapter_targets for one in results}
        write_targets(generate, {component: layers for component, layers in targets.items() if layers})
        for component in ("tokenizer", "scheduler"):
            shutil.copytree(folder / component, generate / component)
        for companion in to_write:
            if (repository / companion).is_file() and not found.is_current:
                shutil.copyfile(repository / companion, staging.new(f"{companion}.old"))  # nobody knows who wrote it
            shutil.copyfile(OWN_REPOSITORY / companion, staging.new(companion))
        staging.new(REPOSITORY_FILE).write_bytes(stamp(repository, OWN_REPOSITORY, to_write).to_bytes())
        absent = [f"{part.model}/{_VERSION}" for part in family.parts if part.source not in checkpoint.models]
        staging.publish(remove=[*absent, *_left_by_another_format(repository, family, found)])
    return results


def _check_shared(repository: Path, card: ModelCard, fingerprints: Mapping[str, str]) -> None:
    """Refuse to replace a component that a checkpoint of another family runs on.

    Args:
        card: of the checkpoint to export; it replaces the one of its own family.
        fingerprints: model -> what would be exported to it.
    """
    for path in sorted((repository / _GENERATE / _VERSION).glob(f"*/{CARD_FILE}")):
        try:
            other = ModelCard.read(path.parent)
        except ValidationError:
            continue  # of another release, which this one does not serve
        if other.family == card.family:
            continue
        for model in sorted(fingerprints.keys() & set(other.components.names())):
            present = read_source(repository / model / _VERSION)
            if present is None or present.component != fingerprints[model]:
                raise RepositoryError(
                    f"{model} of {card.id} is not the one that {other.id} runs on in {repository}; "
                    f"export {card.id} into another repository, with --to"
                )


def _companions_to_write(family: Family, repository: Path, found: RepositoryStamp) -> list[str]:
    """What else Triton needs and the repository lacks, or has of an older release, or of another format.

    That is each model's config.pbtxt, and generate's code. One that somebody has edited stays as it is.
    """
    models = [_GENERATE, *(part.model for part in family.parts)]
    configurations = [f"{model}/config.pbtxt" for model in models]
    for configuration in configurations:
        if not any((root / configuration).is_file() for root in (repository, OWN_REPOSITORY)):
            raise RepositoryError(f"there is no {configuration}, neither in {repository} nor in {OWN_REPOSITORY}")
    code = OWN_REPOSITORY / _GENERATE / _VERSION
    modules = [f"{_GENERATE}/{_VERSION}/{path.name}" for path in sorted(code.glob("*.py"))]
    stale = found.outdated(repository, OWN_REPOSITORY) if found.is_current else differing(repository, OWN_REPOSITORY)
    return [
        path
        for path in (*configurations, *modules)
        if (OWN_REPOSITORY / path).is_file() and (not (repository / path).is_file() or path in stale)
    ]


def _left_by_another_format(repository: Path, family: Family, found: RepositoryStamp) -> list[str]:
    """Checkpoints of other families, and code, that this release cannot serve: they must be exported again."""
    if found.is_current:
        return []
    version = repository / _GENERATE / _VERSION
    checkpoints = [path.parent for path in version.glob(f"*/{CARD_FILE}") if path.parent.name != family.name]
    left = [str(path.relative_to(repository)) for path in (*checkpoints, *version.glob("*.py"))]
    return [path for path in left if path not in companions(OWN_REPOSITORY)]
