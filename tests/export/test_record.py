"""What is exported already is found out without loading anything, and what changes anything about it is, too."""

import shutil
from pathlib import Path

import pytest

from export.options import Options, Target
from export.record import RECORD_FILE, ExportRecord, is_exported
from export.source import Source


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    (tmp_path / "checkpoint" / "vae").mkdir(parents=True)
    (tmp_path / "checkpoint" / "vae" / "weights.safetensors").write_text("weights")
    return tmp_path / "checkpoint"


@pytest.fixture
def repository(checkpoint: Path, tmp_path: Path) -> Path:
    """One that holds the checkpoint."""
    folder = tmp_path / "repository"
    for unit in ("wan_vae/1", "generate/1/wan_t2v"):
        (folder / unit).mkdir(parents=True)
    for file in ("wan_vae/config.pbtxt", "wan_vae/1/model.onnx", "generate/config.pbtxt", "generate/1/model.py"):
        (folder / file).write_text("1234")
    source = Source(component="a", exporter="b", files={"model.onnx": 4}, parameters=1, max_difference=0.0)
    source.write(folder / "wan_vae" / "1")
    record = ExportRecord.of(checkpoint, Options(), {"wan_vae": ("a", "b")})
    record.write(folder / "generate" / "1" / "wan_t2v")
    return folder


def test_nothing_has_changed(checkpoint: Path, repository: Path) -> None:
    assert is_exported(checkpoint, repository, Options())
    copy = Path(shutil.copytree(checkpoint, checkpoint.with_name("elsewhere")))
    assert is_exported(copy, repository, Options())


@pytest.mark.parametrize(
    "options", [Options(target=Target.ONNX), Options(model_id="another"), Options(external_above=1)]
)
def test_other_options(options: Options, checkpoint: Path, repository: Path) -> None:
    assert not is_exported(checkpoint, repository, options)


@pytest.mark.parametrize(
    "file",
    ["wan_vae/1/model.onnx", "wan_vae/config.pbtxt", "generate/1/model.py", f"generate/1/wan_t2v/{RECORD_FILE}"],
)
def test_a_missing_file(file: str, checkpoint: Path, repository: Path) -> None:
    (repository / file).unlink()
    assert not is_exported(checkpoint, repository, Options())


def test_another_checkpoint(checkpoint: Path, repository: Path) -> None:
    (checkpoint / "defaults.json").write_text("{}")
    assert not is_exported(checkpoint, repository, Options())
    shutil.rmtree(checkpoint)
    assert not is_exported(checkpoint, repository, Options())


def test_an_empty_repository(checkpoint: Path, tmp_path: Path) -> None:
    assert not is_exported(checkpoint, tmp_path / "nowhere", Options())
