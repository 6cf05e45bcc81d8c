"""The command line: what it prints, what it refuses, and what is left when it is interrupted."""

import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from export.cli import app
from export.staging import staged

from .conftest import CommandLineExport, export_command


def test_it_shows_each_component_its_size_and_its_difference(exported: CommandLineExport) -> None:
    for model in ("wan_text_encoder", "wan_t2v_transformer", "wan_t2v_transformer_2", "wan_vae"):
        row = next(line for line in exported.output.splitlines() if f"│ {model} " in line)
        assert " M │" in row
        assert "MB │" in row
        assert float(row.split("│")[-2]) < 1e-4
    assert "✓ vae: wan_vae/1/bands_first.onnx, wan_vae/1/bands_next.onnx, " in exported.output


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_help_teaches_with_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert "python -m export toy/checkpoints/toy-wan-t2v" in result.output
    assert "--external-above" not in result.output


@pytest.mark.parametrize(
    ("family", "break_it", "message"),
    [
        ("wan_t2v", shutil.rmtree, "is not a folder"),
        ("wan_t2v", lambda folder: (folder / "model_index.json").unlink(), "it has no model_index.json"),
        ("wan_i2v", lambda folder: None, "holds a WanPipeline, and this family needs a WanImageToVideoPipeline"),
        ("sora", lambda folder: None, "unknown family 'sora'; known: wan_t2v, wan_i2v, wan_ti2v, qwen_image"),
    ],
)
def test_a_refusal_is_one_sentence_and_status_1(
    family: str, break_it: Callable[[Path], None], message: str, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    checkpoint = Path(shutil.copytree(tiny_checkpoint, tmp_path / "tiny"))
    break_it(checkpoint)
    result = run(checkpoint, "--family", family, "--to", tmp_path / "repository")
    assert result.exit_code == 1
    assert result.output.startswith("Export failed: ")
    assert message in result.output
    assert "Traceback" not in result.output
    assert not (tmp_path / "repository").exists()


@pytest.mark.parametrize(
    ("number", "status", "cleared"),
    [
        (signal.SIGINT, 128 + signal.SIGINT, True),
        (signal.SIGTERM, 128 + signal.SIGTERM, True),
        (signal.SIGKILL, -signal.SIGKILL, False),
    ],
)
def test_an_interrupted_export_leaves_what_was_served(
    number: signal.Signals, status: int, cleared: bool, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    repository = tmp_path / "repository"
    served = repository / "wan_text_encoder" / "1" / "model.onnx"
    served.parent.mkdir(parents=True)
    served.write_text("served")

    process = subprocess.Popen(
        export_command(tiny_checkpoint, repository), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        wait_for_a_finished_graph(tmp_path, process)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == status
    assert "Traceback" not in output

    assert [path for path in repository.rglob("*") if path.is_file()] == [served]
    assert served.read_text() == "served"
    assert (list(tmp_path.iterdir()) == [repository]) == cleared
    with staged(repository):  # the next export
        pass
    assert list(tmp_path.iterdir()) == [repository]


def wait_for_a_finished_graph(folder: Path, process: "subprocess.Popen[str]") -> None:
    """Until the export is amid its work: its first graph is made, others are not."""
    deadline = time.monotonic() + 400
    while not list(folder.glob(".repository.export-*/new/*/1/*.onnx")):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.05)
