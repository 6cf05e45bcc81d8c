"""Components exported in processes of their own: what they make, say, and leave when they die."""

import errno
import os
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from torch import nn

from export.component import Exported, Task
from export.errors import CheckpointError, ExportError
from export.fork_server import start_fork_server
from export.options import Options, Precision
from export.umt5 import load
from export.wan_t2v import WAN_T2V
from export.workers import Workers

(TEXT_ENCODER,) = [part for part in WAN_T2V.parts if part.component == "text_encoder"]


def load_and_die(folder: Path, precision: Precision) -> nn.Module:
    os.kill(os.getpid(), signal.SIGKILL)
    return load(folder, precision)


def load_none(folder: Path, precision: Precision) -> nn.Module:
    raise CheckpointError(f"{folder.name} is damaged")


def load_without_room(folder: Path, precision: Precision) -> nn.Module:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def load_and_fail(folder: Path, precision: Precision) -> nn.Module:
    raise RuntimeError("a fault of ours")


@pytest.fixture
def tasks(tiny_checkpoint: Path, tmp_path: Path) -> Mapping[str, Task]:
    """One that succeeds, and others that fail."""
    start_fork_server()
    loads = {
        "good": load,
        "dies": load_and_die,
        "damaged": load_none,
        "full": load_without_room,
        "wrong": load_and_fail,
    }
    folder = tiny_checkpoint / "text_encoder"
    return {
        name: Task(replace(TEXT_ENCODER, model=name, load=how), folder, tmp_path / name, "weights", "exporter")
        for name, how in loads.items()
    }


def test_each_has_its_result_whatever_becomes_of_the_others(tasks: Mapping[str, Task], tmp_path: Path) -> None:
    heard: list[str] = []
    results: dict[str, Exported | ExportError] = {}
    groups = [[tasks["dies"]], [tasks["damaged"], tasks["full"], tasks["good"]], [tasks["wrong"]]]
    for done in Workers(2)(groups, Options(), heard.append):
        results[done.task.part.model] = done.result
    assert str(results["dies"]) == "exporting dies was killed; there may have been too little memory"
    assert str(results["damaged"]) == "text_encoder is damaged"
    assert str(results["full"]) == "full: a file cannot be written or read: [Errno 28] No space left on device"
    assert str(results["wrong"]) == "exporting wrong ended with status 1"
    good = results["good"]
    assert isinstance(good, Exported)
    assert good.source.max_difference < 1e-4
    assert (tmp_path / "good" / "model.onnx").stat().st_size == good.source.files["model.onnx"]
    assert any("text_encoder: tracing model.onnx" in words for words in heard)


def test_an_interruption_ends_those_that_still_work(tasks: Mapping[str, Task]) -> None:
    started: list[int] = []

    def first_words(words: str) -> None:
        started.append(len(psutil.Process().children(recursive=True)))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Workers(1)([[tasks["good"]]], Options(), first_words))
    assert len(psutil.Process().children(recursive=True)) == started[0] - 1  # the fork server stays


def test_closing_ends_those_that_still_work(tasks: Mapping[str, Task]) -> None:
    idle = len(psutil.Process().children(recursive=True))  # the fork server
    done = Workers(2)([[tasks["damaged"]], [tasks["good"]]], Options(), lambda words: None)
    next(done)
    assert len(psutil.Process().children(recursive=True)) > idle
    done.close()
    assert len(psutil.Process().children(recursive=True)) == idle
