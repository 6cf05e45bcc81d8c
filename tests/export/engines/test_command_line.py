"""`python -m export.engines`: what it refuses, and in which words."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from export.engines.__main__ import app
from export.options import Options, Precision, Target
from export.source import Source
from tests.model_cards import model_card

TOY_CARD = model_card()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """As an export for CPUs leaves it, but for the graphs."""
    card = tmp_path / "generate" / "1" / TOY_CARD.family
    card.mkdir(parents=True)
    TOY_CARD.write(card)
    write_sources(tmp_path, Options())
    return tmp_path


def write_sources(repository: Path, options: Options) -> None:
    for model in TOY_CARD.components.names():
        version = repository / model / "1"
        version.mkdir(parents=True, exist_ok=True)
        Source(
            component="c", exporter="e", files={}, parameters=0, target=options.target, precision=options.precision,
            max_difference=0, adapter_targets={},
        ).write(version)  # fmt: skip


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, " ".join(result.output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            [],
            "was exported for onnxruntime; engines are built from graphs for GPUs: export the checkpoint with --target",
        ),
        (["--size", "100x64x9"], "100x64x9: width and height must be multiples of 16 for toy-wan-t2v"),
        (["--size", "64x64x8"], "64x64x8: toy-wan-t2v makes 4k+1 frames"),
        (["--model", "wan_vea"], "holds no wan_vea"),
    ],
)
def test_what_cannot_be_built_is_said(arguments: list[str], message: str, repository: Path) -> None:
    if "--model" in arguments:
        write_sources(repository, Options(Target.ONNX, Precision.BFLOAT16))
    status, output = run(repository, *arguments)
    assert status == 1
    assert message in output


def test_a_folder_without_checkpoints(tmp_path: Path) -> None:
    status, output = run(tmp_path)
    assert status == 1
    assert "holds no exported checkpoint: run `python -m export` first" in output


@pytest.mark.parametrize("size", ["big", "64", "64x", "64x64x9x1", "-64x64", "6\u0664x64"])
def test_a_size_that_is_none(size: str, repository: Path) -> None:
    status, output = run(repository, f"--size={size}")
    assert status == 2
    assert "WIDTHxHEIGHT" in output


def test_nothing_to_build_needs_no_library(repository: Path) -> None:
    """The graphs of these models are all there: none."""
    write_sources(repository, Options(Target.ONNX, Precision.BFLOAT16))
    assert json.loads((repository / "wan_vae" / "1" / "source.json").read_text())["target"] == "onnx"
    status, _ = run(repository)
    assert status == 0
