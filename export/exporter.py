"""Diffusers checkpoint folders into a Triton model repository."""

import shutil
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from export.checkpoint import open_checkpoint
from export.component import Exported, Task, Traces, export_component
from export.defaults import read_defaults
from export.disk import DiskUse, disk_use
from export.errors import ExportError, RepositoryError
from export.family import Family
from export.options import Options
from export.publication import Plan, check_configurations, check_shared, other_component, publish
from export.source import component_fingerprint, exporter_fingerprint, read_source
from export.staging import Staging, kept_weights, staged
from export.tokenizer import fast_tokenizer
from protocol.model_card import ModelCard
from protocol.repository import VERSION

OnStage = Callable[[str], None]


@dataclass(frozen=True)
class TaskDone:
    """What became of a task."""

    task: Task
    result: Exported | ExportError


TasksDone = Generator[TaskDone, None, None]
RunTasks = Callable[[Sequence[Sequence[Task]], Options, OnStage], TasksDone]
"""Runs groups of tasks, each group in its order, with one trace for those of a group that have the same.

An argument hears what is being done. Yields each task that is done; those that follow a failed one are tried as well.
Once it is closed, nothing works on a task any more.
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

    def disk(self, use: DiskUse) -> None:
        """What the export is going to write."""
        ...


def run_in_this_process(groups: Sequence[Sequence[Task]], options: Options, on_stage: OnStage) -> TasksDone:
    """A `RunTasks`: one after the other."""
    for group in groups:
        traces: Traces = {}
        for task in group:
            try:
                result: Exported | ExportError = export_component(task, options, on_stage, traces)
            except ExportError as error:
                result = error
            except OSError as error:  # the disk is full, say
                result = RepositoryError(f"{task.part.model}: a file cannot be written or read: {error}")
            if isinstance(result, ExportError):
                shutil.rmtree(task.version, ignore_errors=True)  # the others may need the room
            yield TaskDone(task, result)


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
    plans: list[Plan] = []
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
        # whatever interrupts this, work has ended before its folder is removed
        with (
            staged(repository) as staging,
            closing(_export(plans, repository, staging, options, run, listener)) as published,
        ):
            for plan in published:
                listener.published(plan.folder, list(plan.results.values()), time.monotonic() - started)
                plans.remove(plan)
    except RepositoryError as error:  # nothing can be written: it concerns all that are left
        for plan in plans:
            listener.failed(plan.folder, error)


def _export(
    plans: Sequence[Plan],
    repository: Path,
    staging: Staging,
    options: Options,
    run: RunTasks,
    listener: Listener,
) -> Generator[Plan, None, None]:
    """Yields each plan that is published. Tells the listener of the others."""
    left = list(plans)

    def take(result: Exported, component: str) -> None:
        for plan in left:
            if plan.components.get(result.model) == component:
                plan.results[result.model] = result
                listener.exported(plan.folder, result)

    def publish_finished() -> Iterator[Plan]:
        for plan in [plan for plan in left if len(plan.results) == len(plan.parts)]:
            left.remove(plan)
            try:
                publish(plan, repository, staging, options)
            except RepositoryError as error:
                listener.failed(plan.folder, error)
            else:
                yield plan

    groups = _tasks(plans, repository, staging, take)
    if groups:
        tasks = [task for group in groups for task in group]
        listener.disk(disk_use(tasks, options, repository, kept_weights(repository)))
    yield from publish_finished()
    with closing(run(groups, options, listener.stage)) as results:
        for done in results:
            if isinstance(done.result, Exported):
                take(done.result, done.task.component)
            else:
                for plan in [plan for plan in left if plan.components.get(done.task.part.model) == done.task.component]:
                    left.remove(plan)
                    listener.failed(plan.folder, done.result)
            yield from publish_finished()


def _plan(folder: Path, family: Family, repository: Path, options: Options) -> Plan:
    """What is to be done for one checkpoint. Raises ExportError where it cannot be."""
    checkpoint = open_checkpoint(folder, family.layout)
    own = read_defaults(folder)
    card = family.card(checkpoint, own.model_copy(update={"id": options.model_id or own.id}))
    card = card.model_copy(update={"precision": options.precision, "vae_precision": options.vae_precision})
    check_configurations(family, repository)
    parts = tuple(part for part in family.parts if part.source in checkpoint.models)
    components = {source: component_fingerprint(folder / source) for source in checkpoint.models}
    fingerprints = {
        part.model: (components[part.source], exporter_fingerprint(options, part.modules, options.form(part)))
        for part in parts
    }
    plan = Plan(folder, family, checkpoint, card, parts, fingerprints, fast_tokenizer(folder / "tokenizer"))
    check_shared(repository, card, parts, plan.components, options)
    return plan


def _check_among(plan: Plan, others: Iterable[Plan]) -> None:
    """Refuse what would replace a checkpoint that is exported by the same command."""
    for other in others:
        if plan.family.name == other.family.name:
            raise RepositoryError(
                f"{plan.card.id} and {other.card.id} are both of family {plan.family.name}, and a repository holds one "
                "of each; export one of them into another repository, with --to"
            )
        for model, component in plan.components.items():
            if other.components.get(model, component) != component:
                raise other_component(model, plan.card.id, other.card.id)


def _tasks(
    plans: Sequence[Plan], repository: Path, staging: Staging, take: Callable[[Exported, str], None]
) -> list[list[Task]]:
    """What the repository does not hold yet, each component once, in groups with one trace; the most work first.

    Args:
        take: told of what it does hold.
    """
    groups: dict[str, list[Task]] = {}
    seen: set[str] = set()
    for plan in plans:
        of_plan: dict[str, list[Task]] = {}
        for part in plan.parts:
            component, exporter = plan.fingerprints[part.model]
            present = read_source(repository / part.model / VERSION)
            if present is not None and present.serves(repository / part.model / VERSION, component, exporter):
                if part.model not in plan.results:
                    take(Exported(part.component, part.model, present), component)
            elif part.model not in seen:
                seen.add(part.model)
                graphs = staging.new(f"{part.model}/{VERSION}")
                task = Task(part, plan.folder / part.source, graphs, component, exporter, kept_weights(repository))
                known = groups if task.trace_key in groups else of_plan
                known.setdefault(task.trace_key, []).append(task)
        groups |= dict(sorted(of_plan.items(), key=lambda item: -sum(task.weight_bytes for task in item[1])))
    return list(groups.values())
