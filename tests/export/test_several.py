"""Several checkpoints in one export: what they share is made once, and the error of one does not stop the others."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from export.checkpoint import Checkpoint
from export.component import Exported, Task
from export.defaults import OwnDefaults
from export.disk import DiskUse
from export.errors import CheckpointError, ExportError
from export.exporter import OnStage, RunTasks, TaskDone, TasksDone, export_checkpoints, run_in_this_process
from export.family import Family
from export.options import Options
from export.tiny import LayoutName, build
from export.wan_t2v import WAN_T2V
from protocol.model_card import ModelCard
from tests.model_cards import model_card


class Heard:
    """A `Listener` that remembers."""

    def __init__(self, repository: Path) -> None:
        self._repository = repository
        self.lines: list[tuple[str, str]] = []
        self.cards_when_published: list[set[str]] = []

    def disk(self, use: DiskUse) -> None:
        assert use.needed < use.free

    def planned(self, folder: Path, card: ModelCard) -> None:
        self.lines.append(("planned", card.id))

    def stage(self, words: str) -> None:
        pass

    def exported(self, folder: Path, exported: Exported) -> None:
        self.lines.append(("exported", f"{folder.name} {exported.component}{' again' if exported.is_reused else ''}"))

    def published(self, folder: Path, results: Sequence[Exported], seconds: float) -> None:
        self.lines.append(("published", folder.name))
        cards = (self._repository / "generate" / "1").glob("*/card.json")
        self.cards_when_published.append({path.parent.name for path in cards})

    def failed(self, folder: Path, error: ExportError) -> None:
        self.lines.append(("failed", f"{folder.name}: {error}"))


def family(name: str) -> Family:
    """One whose only component is the text encoder, which takes seconds to export."""

    def card(checkpoint: Checkpoint, own: OwnDefaults) -> ModelCard:
        return model_card(f"of {name}", family=name)

    parts = tuple(part for part in WAN_T2V.parts if part.component == "text_encoder")
    return dataclasses.replace(WAN_T2V, name=name, parts=parts, card=card)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def export(repository: Path) -> Callable[..., Heard]:
    def run(*checkpoints: tuple[Path, str], run: RunTasks = run_in_this_process) -> Heard:
        heard = Heard(repository)
        families = [(folder, lambda _, name=name: family(name)) for folder, name in checkpoints]
        export_checkpoints(families, repository, Options(), run, heard)
        return heard

    return run


def test_what_is_shared_is_made_once_and_the_next_export_makes_nothing(
    tiny_checkpoint: Path, export: Callable[..., Heard]
) -> None:
    groups: list[int] = []

    def counted(tasks: Sequence[Sequence[Task]], options: Options, on_stage: OnStage) -> TasksDone:
        groups.append(sum(len(group) for group in tasks))
        return run_in_this_process(tasks, options, on_stage)

    both = ((tiny_checkpoint, "wan_t2v"), (tiny_checkpoint, "wan_i2v"))
    heard = export(*both, run=counted)
    assert heard.lines == [
        ("planned", "of wan_t2v"),
        ("planned", "of wan_i2v"),
        ("exported", "tiny text_encoder"),
        ("exported", "tiny text_encoder"),
        ("published", "tiny"),
        ("published", "tiny"),
    ]
    assert heard.cards_when_published == [{"wan_t2v"}, {"wan_t2v", "wan_i2v"}]
    again = export(*both, run=counted)
    assert ("exported", "tiny text_encoder again") in again.lines
    assert groups == [1, 0]


def test_a_failure_is_said_and_the_others_go_on(
    tiny_checkpoint: Path, export: Callable[..., Heard], repository: Path, tmp_path: Path
) -> None:
    def fail_first(tasks: Sequence[Sequence[Task]], options: Options, on_stage: OnStage) -> TasksDone:
        ((first,), *others) = tasks
        yield TaskDone(first, CheckpointError("its weights are damaged"))
        yield from run_in_this_process(others, options, on_stage)

    build(tmp_path / "other", LayoutName.TWO_EXPERTS, seed=1)
    heard = export(
        (tmp_path / "nowhere", "wan_i2v"), (tiny_checkpoint, "wan_t2v"), (tmp_path / "other", "wan_t2v"), run=fail_first
    )
    assert [line for line in heard.lines if line[0] != "planned"] == [
        ("failed", f"nowhere: {tmp_path / 'nowhere'} is not a folder"),
        (
            "failed",
            "other: of wan_t2v and of wan_t2v are both of family wan_t2v, and a repository holds one of each; "
            "export one of them into another repository, with --to",
        ),
        ("failed", "tiny: its weights are damaged"),
    ]
    assert not list(repository.glob("generate/1/*/card.json"))
    assert [path.name for path in repository.parent.iterdir() if path.name.startswith(".")] == []


def test_components_that_contradict_each_other_are_refused_before_anything_is_made(
    tiny_checkpoint: Path, export: Callable[..., Heard], tmp_path: Path
) -> None:
    build(tmp_path / "other", LayoutName.TWO_EXPERTS, seed=1)
    heard = export((tiny_checkpoint, "wan_t2v"), (tmp_path / "other", "wan_i2v"))
    assert heard.lines[1][0] == "failed"
    assert (
        "wan_text_encoder of of wan_i2v is not the one that of wan_t2v runs on; export of wan_i2v"
        in (heard.lines[1][1])
    )
    assert heard.lines[-1] == ("published", "tiny")
