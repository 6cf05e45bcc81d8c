"""Diffusers checkpoint folders into a Triton model repository."""

import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from export.checkpoint import Checkpoint, open_checkpoint
from export.component import Exported, Task, Traces, export_component
from export.defaults import read_defaults
from export.errors import ExportError, RepositoryError
from export.family import Family, Part
from export.options import Options
from export.record import ExportRecord
from export.source import component_fingerprint, exporter_fingerprint, read_source
from export.staging import Staging, staged
from pipelines.lora.targets import write_targets
from protocol.model_card import CARD_FILE, ModelCard
from protocol.repository import REPOSITORY_FILE, RepositoryStamp, companions, differing, stamp

OWN_REPOSITORY = Path(__file__).resolve().parent.parent / "model_repository"
"""the project's own, which holds the configuration of every Triton model"""

_VERSION = "1"
_GENERATE = "generate"

OnStage = Callable[[str], None]


@dataclass(frozen=True)
class TaskDone:
    """What became of a task."""

    task: Task
    result: Exported | ExportError


RunTasks = Callable[[Sequence[Sequence[Task]], Options, OnStage], Iterator[TaskDone]]
"""Runs groups of tasks, each group in its order, with one trace for those of a group that have the same.

An argument hears what is being done. Yields each task that is done; those that follow a failed one are tried as well.
"""


class Listener(Protocol):
    """Hears how an export of several checkpoints gets on."""

    def planned(self, folder: Path, card: ModelCard) -> None: ...

    def stage(self, words: str) -> None:
        """What is being done now."""
        ...

    def exported(self, folder: Path, exported: Exported) -> None:
        """A component has passed the comparison, or is there already."""
        ...

    def published(self, folder: Path, results: Sequence[Exported], seconds: float) -> None:
        """The checkpoint is in the repository, so many seconds after the export began."""
        ...

    def failed(self, folder: Path, error: ExportError) -> None: ...


@dataclass(frozen=True)
class _Plan:
    """A checkpoint that is to be exported."""

    folder: Path
    family: Family
    checkpoint: Checkpoint
    card: ModelCard
    parts: tuple[Part, ...]
    fingerprints: Mapping[str, tuple[str, str]]
    """by Triton model: of the component, and of what exports it"""
    results: dict[str, Exported] = field(default_factory=dict)
    """by Triton model, as they come"""

    @property
    def components(self) -> dict[str, str]:
        return {model: component for model, (component, _) in self.fingerprints.items()}


def run_in_this_process(groups: Sequence[Sequence[Task]], options: Options, on_stage: OnStage) -> Iterator[TaskDone]:
    """A `RunTasks`: one after the other."""
    for group in groups:
        traces: Traces | None = {} if len(group) > 1 else None
        for task in group:
            try:
                result: Exported | ExportError = export_component(task, options, on_stage, traces)
            except ExportError as error:
                result = error
            yield TaskDone(task, result)


def export_checkpoint(
    folder: Path,
    family: Family,
    repository: Path,
    options: Options,
    on_stage: OnStage = lambda stage: None,
) -> list[Exported]:
    """Export every component, compare each with its torch module, then put all of it in the repository.

    A component of which the repository holds the same export already is left as it is.

    Args:
        folder: the checkpoint.
        on_stage: hears what is being done, a few words each time.

    Raises:
        ExportError: the repository is then as it was before.
    """
    on_stage("reading the weights")
    plan = _plan(folder, family, repository, options)
    with staged(repository) as staging:
        tasks = _tasks([plan], repository, staging)
        for done in run_in_this_process(tasks, options, on_stage):
            if isinstance(done.result, ExportError):
                raise done.result
            plan.results[done.task.part.model] = done.result
        _publish(plan, repository, staging, options)
    return list(plan.results.values())


def export_checkpoints(
    checkpoints: Sequence[tuple[Path, Callable[[Path], Family]]],
    repository: Path,
    options: Options,
    run: RunTasks,
    listener: Listener,
) -> None:
    """Export several checkpoints; each is in the repository once it is finished, and what they share is made once.

    Args:
        checkpoints: folders, the most wanted first, and what tells the family of each.
        run: does the work.
        listener: hears of everything, errors too: one checkpoint's do not stop the others.
    """
    started = time.monotonic()
    plans: list[_Plan] = []
    for folder, family_of in checkpoints:
        listener.stage(f"reading the weights of {folder.name}")
        try:
            plan = _plan(folder, family_of(folder), repository, options)
            _check_among(plan, plans)
        except ExportError as error:
            listener.failed(folder, error)
        else:
            plans.append(plan)
            listener.planned(folder, plan.card)
    if not plans:
        return
    try:
        with staged(repository) as staging:
            for plan in _export(plans, repository, staging, options, run, listener):
                listener.published(plan.folder, list(plan.results.values()), time.monotonic() - started)
                plans.remove(plan)
    except RepositoryError as error:  # nothing can be written: it concerns all that are left
        for plan in plans:
            listener.failed(plan.folder, error)


def _export(
    plans: Sequence[_Plan],
    repository: Path,
    staging: Staging,
    options: Options,
    run: RunTasks,
    listener: Listener,
) -> Iterator[_Plan]:
    """Yields each plan that is published. Tells the listener of the others."""
    left = list(plans)

    def take(result: Exported, component: str) -> None:
        for plan in left:
            if plan.components.get(result.model) == component:
                plan.results[result.model] = result
                listener.exported(plan.folder, result)

    def publish_finished() -> Iterator[_Plan]:
        for plan in [plan for plan in left if len(plan.results) == len(plan.parts)]:
            left.remove(plan)
            try:
                _publish(plan, repository, staging, options)
            except RepositoryError as error:
                listener.failed(plan.folder, error)
            else:
                yield plan

    groups = _tasks(plans, repository, staging, take)
    yield from publish_finished()
    for done in run(groups, options, listener.stage):
        if isinstance(done.result, Exported):
            take(done.result, done.task.component)
        else:
            for plan in [plan for plan in left if plan.components.get(done.task.part.model) == done.task.component]:
                left.remove(plan)
                listener.failed(plan.folder, done.result)
        yield from publish_finished()


def _plan(folder: Path, family: Family, repository: Path, options: Options) -> _Plan:
    """What is to be done for one checkpoint. Raises ExportError where it cannot be."""
    checkpoint = open_checkpoint(folder, family.layout)
    own = read_defaults(folder)
    card = family.card(checkpoint, own.model_copy(update={"id": options.model_id or own.id}))
    _check_configurations(family, repository)
    parts = tuple(part for part in family.parts if part.source in checkpoint.models)
    components = {source: component_fingerprint(folder / source) for source in checkpoint.models}
    fingerprints = {
        part.model: (components[part.source], exporter_fingerprint(options, part.modules)) for part in parts
    }
    plan = _Plan(folder, family, checkpoint, card, parts, fingerprints)
    _check_shared(repository, card, plan.components)
    return plan


def _check_among(plan: _Plan, others: Iterable[_Plan]) -> None:
    """Refuse what would replace a checkpoint that is exported by the same command."""
    for other in others:
        if plan.family.name == other.family.name:
            raise RepositoryError(
                f"{plan.card.id} and {other.card.id} are both of family {plan.family.name}, and a repository holds one "
                "of each; export one of them into another repository, with --to"
            )
        for model, component in plan.components.items():
            if other.components.get(model, component) != component:
                raise _other_component(model, plan.card.id, other.card.id)


def _tasks(
    plans: Sequence[_Plan],
    repository: Path,
    staging: Staging,
    take: Callable[[Exported, str], None] | None = None,
) -> list[list[Task]]:
    """What the repository does not hold yet, each component once, in groups with one trace; the most work first.

    Args:
        take: told of what it does hold; None: it goes into the plan's results.
    """
    groups: dict[str, list[Task]] = {}
    seen: set[str] = set()
    for plan in plans:
        of_plan: dict[str, list[Task]] = {}
        for part in plan.parts:
            component, exporter = plan.fingerprints[part.model]
            version = repository / part.model / _VERSION
            present = read_source(version)
            if present is not None and present.serves(version, component, exporter):
                if part.model not in plan.results:
                    reused = Exported(part.component, part.model, present)
                    if take is None:
                        plan.results[part.model] = reused
                    else:
                        take(reused, component)
            elif part.model not in seen:
                seen.add(part.model)
                task = Task(
                    part, plan.folder / part.source, staging.new(f"{part.model}/{_VERSION}"), component, exporter
                )
                known = groups if task.trace_key in groups else of_plan
                known.setdefault(task.trace_key, []).append(task)
        groups |= dict(sorted(of_plan.items(), key=lambda item: -sum(task.weight_bytes for task in item[1])))
    return list(groups.values())


def _publish(plan: _Plan, repository: Path, staging: Staging, options: Options) -> None:
    """Put a checkpoint whose components are all there into the repository, its card last."""
    _check_shared(repository, plan.card, plan.components)
    units = [f"{part.model}/{_VERSION}" for part in plan.parts]
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
    unit = f"{_GENERATE}/{_VERSION}/{plan.family.name}"
    generate = staging.new(unit)
    generate.mkdir()
    plan.card.write(generate)
    targets = {result.component: result.source.adapter_targets for result in plan.results.values()}
    write_targets(generate, {component: layers for component, layers in targets.items() if layers})
    for component in ("tokenizer", "scheduler"):
        shutil.copytree(plan.folder / component, generate / component)
    ExportRecord.of(plan.folder, options, dict(plan.fingerprints)).write(generate)
    absent = [f"{part.model}/{_VERSION}" for part in plan.family.parts if part.source not in plan.checkpoint.models]
    left = _left_by_another_format(repository, plan.family, found)
    staging.publish(remove=[*absent, *left], units=[*units, unit])


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
                raise _other_component(model, card.id, other.id, f" in {repository}")


def _other_component(model: str, model_id: str, other_id: str, where: str = "") -> RepositoryError:
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
    return [f"{model}/config.pbtxt" for model in (_GENERATE, *(part.model for part in family.parts))]


def _check_configurations(family: Family, repository: Path) -> None:
    """Raises RepositoryError: one is nowhere to be found."""
    for configuration in _configurations(family):
        if not any((root / configuration).is_file() for root in (repository, OWN_REPOSITORY)):
            raise RepositoryError(f"there is no {configuration}, neither in {repository} nor in {OWN_REPOSITORY}")


def _companions_to_write(family: Family, repository: Path, found: RepositoryStamp) -> list[str]:
    """What else Triton needs and the repository lacks, or has of an older release, or of another format.

    That is each model's config.pbtxt, and generate's code. One that somebody has edited stays as it is.
    """
    code = OWN_REPOSITORY / _GENERATE / _VERSION
    modules = [f"{_GENERATE}/{_VERSION}/{path.name}" for path in sorted(code.glob("*.py"))]
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
    version = repository / _GENERATE / _VERSION
    checkpoints = [path.parent for path in version.glob(f"*/{CARD_FILE}") if path.parent.name != family.name]
    left = [str(path.relative_to(repository)) for path in (*checkpoints, *version.glob("*.py"))]
    return [path for path in left if path not in companions(OWN_REPOSITORY)]
