"""A checkpoint whose components are exported, put into a model repository with all else that Triton needs."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from export.checkpoint import Checkpoint
from export.component import Exported
from export.errors import RepositoryError
from export.family import Family, Part
from export.options import Options
from export.record import ExportRecord
from export.source import read_source
from export.staging import Staging
from pipelines.lora.targets import write_targets
from pipelines.tokenizer import TOKENIZER_FILE
from protocol.model_card import CARD_FILE, ModelCard
from protocol.repository import (
    ENSEMBLE,
    OWN_REPOSITORY,
    REPOSITORY_FILE,
    VERSION,
    RepositoryStamp,
    companions,
    differing,
    stamp,
)


@dataclass(frozen=True)
class Plan:
    """A checkpoint that is to be exported."""

    folder: Path
    family: Family
    checkpoint: Checkpoint
    card: ModelCard
    parts: tuple[Part, ...]
    fingerprints: Mapping[str, tuple[str, str]]
    """by Triton model: of the component, and of what exports it"""
    tokenizer: str
    """see `fast_tokenizer`"""
    results: dict[str, Exported] = field(default_factory=dict)
    """by Triton model, as they come"""

    @property
    def components(self) -> dict[str, str]:
        return {model: component for model, (component, _) in self.fingerprints.items()}


def publish(plan: Plan, repository: Path, staging: Staging, options: Options) -> None:
    """Put a checkpoint whose components are all there into the repository, its card last."""
    check_shared(repository, plan.card, plan.parts, plan.components, options)
    units = [f"{part.model}/{VERSION}" for part in plan.parts]
    found = _read_stamp(repository)
    to_write = _companions_to_write(plan.family, repository, found)
    for companion in to_write:
        if (repository / companion).is_file() and not found.is_current:  # nobody knows who wrote it
            units.append(f"{companion}.old")
            shutil.copyfile(repository / companion, staging.new(units[-1]))
        units.append(companion)
        shutil.copyfile(OWN_REPOSITORY / companion, staging.new(companion))
    units.append(REPOSITORY_FILE)
    staging.new(REPOSITORY_FILE).write_bytes(stamp(repository, OWN_REPOSITORY, to_write).to_bytes())
    unit = f"{ENSEMBLE}/{VERSION}/{plan.family.name}"
    generate = staging.new(unit)
    generate.mkdir()
    plan.card.write(generate)
    targets = {result.component: result.source.adapter_targets for result in plan.results.values()}
    write_targets(generate, {component: found for component, found in targets.items() if found is not None})
    (generate / TOKENIZER_FILE).write_text(plan.tokenizer)
    shutil.copytree(plan.folder / "scheduler", generate / "scheduler")
    ExportRecord.of(plan.folder, options, dict(plan.fingerprints)).write(generate)
    absent = [f"{part.model}/{VERSION}" for part in plan.family.parts if part.source not in plan.checkpoint.models]
    left = _left_by_another_format(repository, plan.family, found)
    staging.publish(remove=[*absent, *left], units=[*units, unit])


def check_shared(
    repository: Path, card: ModelCard, parts: Sequence[Part], fingerprints: Mapping[str, str], options: Options
) -> None:
    """Refuse to replace a component that a checkpoint of another family runs on, by another or in another form.

    Args:
        card: of the checkpoint to export; it replaces the one of its own family.
        fingerprints: model -> what would be exported to it.
    """
    by_model = {part.model: part for part in parts}
    for path in sorted((repository / ENSEMBLE / VERSION).glob(f"*/{CARD_FILE}")):
        try:
            other = ModelCard.read(path.parent)
        except ValidationError:
            continue  # of another release, which this one does not serve
        if other.family == card.family:
            continue
        for model in sorted(fingerprints.keys() & set(other.components.names())):
            present = read_source(repository / model / VERSION)
            if present is None or present.component != fingerprints[model]:
                raise other_component(model, card.id, other.id, f" in {repository}")
            part = by_model[model]
            if (present.target, present.precision) != (options.target, options.form(part).precision):
                option = "--vae-precision" if part.is_vae else "--precision"
                raise RepositoryError(
                    f"{other.id} runs on the {model} in {repository}, which is in {present.precision} for "
                    f"{present.target}; export {card.id} with {option} {present.precision} --target "
                    f"{present.target} too, or into another repository, with --to"
                )


def other_component(model: str, model_id: str, other_id: str, where: str = "") -> RepositoryError:
    return RepositoryError(
        f"{model} of {model_id} is not the one that {other_id} runs on{where}; "
        f"export {model_id} into another repository, with --to"
    )


def _read_stamp(repository: Path) -> RepositoryStamp:
    try:
        return RepositoryStamp.read(repository)
    except OSError as error:
        raise RepositoryError(f"cannot read {repository}: {error}") from error


def _configurations(family: Family) -> list[str]:
    return [f"{model}/config.pbtxt" for model in (ENSEMBLE, *(part.model for part in family.parts))]


def check_configurations(family: Family, repository: Path) -> None:
    """Raises RepositoryError: one is nowhere to be found."""
    for configuration in _configurations(family):
        if not any((root / configuration).is_file() for root in (repository, OWN_REPOSITORY)):
            raise RepositoryError(f"there is no {configuration}, neither in {repository} nor in {OWN_REPOSITORY}")


def _companions_to_write(family: Family, repository: Path, found: RepositoryStamp) -> list[str]:
    """What else Triton needs and the repository lacks, or has of an older release, or of another format.

    That is each model's config.pbtxt, and generate's code. One that somebody has edited stays as it is.
    """
    code = OWN_REPOSITORY / ENSEMBLE / VERSION
    modules = [f"{ENSEMBLE}/{VERSION}/{path.name}" for path in sorted(code.glob("*.py"))]
    stale = found.outdated(repository, OWN_REPOSITORY) if found.is_current else differing(repository, OWN_REPOSITORY)
    return [
        path
        for path in (*_configurations(family), *modules)
        if (OWN_REPOSITORY / path).is_file() and (not (repository / path).is_file() or path in stale)
    ]


def _left_by_another_format(repository: Path, family: Family, found: RepositoryStamp) -> list[str]:
    """Checkpoints of other families, and code, that this release cannot serve: they must be exported again."""
    if found.is_current:
        return []
    version = repository / ENSEMBLE / VERSION
    checkpoints = [path.parent for path in version.glob(f"*/{CARD_FILE}") if path.parent.name != family.name]
    left = [str(path.relative_to(repository)) for path in (*checkpoints, *version.glob("*.py"))]
    return [path for path in left if path not in companions(OWN_REPOSITORY)]
