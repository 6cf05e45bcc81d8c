"""What an export writes is known before it begins, and refused where there is no room for it."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from export.component import Task
from export.disk import disk_use
from export.errors import RepositoryError
from export.options import Options, Precision, Target
from export.stored_weights import StoredWeights
from export.wan_t2v import WAN_T2V
from export.weights_file import WEIGHTS_FILE

from .one import export_one, of_embedding

Usage = namedtuple("Usage", ("total", "used", "free"))
PARTS = {part.component: part for part in WAN_T2V.parts}


def test_it_has_the_size_of_the_precision_that_is_exported(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = tiny_checkpoint / "text_encoder"
    count = sum(header.count for header in StoredWeights(folder).headers.values())
    task = Task(PARTS["text_encoder"], folder, tmp_path, "", "")
    needed = {
        precision: disk_use([task], Options(precision=precision), tmp_path / "repository", tmp_path / "kept").needed
        for precision in Precision
    }
    assert needed[Precision.FLOAT32] - needed[Precision.BFLOAT16] == 2 * count
    assert needed[Precision.FLOAT16] == needed[Precision.BFLOAT16]


def test_what_is_written_is_no_more(tiny_checkpoint: Path, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    options = Options(Target.ONNX, Precision.BFLOAT16, external_above=0)
    (made,) = export_one(tiny_checkpoint, of_embedding(tiny_checkpoint), repository, options)
    task = Task(PARTS["text_encoder"], tiny_checkpoint / "text_encoder", tmp_path, "", "")
    needed = disk_use([task], options, repository, tmp_path / "kept").needed
    assert made.source.files[WEIGHTS_FILE] < sum(made.source.files.values()) <= needed


def test_too_little_room_is_refused_with_the_numbers(
    tiny_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: Usage(10**9, 10**9 - 5 * 10**7, 5 * 10**7))
    message = r"disk of .*repository is too small .*: at most 0\.1 GB are written; 0\.1 GB are free; make room, or"
    with pytest.raises(RepositoryError, match=message):
        export_one(tiny_checkpoint, of_embedding(tiny_checkpoint), tmp_path / "repository", Options())
    assert list((tmp_path / "repository").iterdir()) == []
