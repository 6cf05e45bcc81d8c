"""The checks of a GPU, tried on the CPU with tiny models: all of them find something."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_check.report import REPORT_FILE, Result, read_results, write_report
from export.tiny import LayoutName, build
from launcher.settings import PROJECT_ROOT


def gpu_check(*arguments: object, status: int = 0) -> str:
    """Everything that it prints."""
    command = [sys.executable, "-m", "benchmarks.gpu_check", *map(str, arguments)]
    done = subprocess.run(
        command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=900
    )
    assert done.returncode == status, done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("gpu_check")
    folder = parent / "work"
    build(parent / "tiny", LayoutName.ONE_EXPERT)
    gpu_check("prepare", folder, "--device", "cpu", "--small", "--checkpoint", parent / "tiny")
    return folder


@pytest.mark.long
def test_every_check_finds_what_it_is_for(prepared: Path) -> None:
    report = gpu_check("run", prepared, "--seconds", 600)
    results = read_results(prepared)
    assert [result.error for result in results if result.error is not None] == []
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for result in results:
        found[result.check].append(result.found)
        assert f"## {result.check}" in report

    assert list(found) == ["machine", "toys", "steps", "vae", "copies", "server"]
    assert found["machine"][0]["bf16_tflops"] > 0
    full, half = found["toys"]
    assert full["psnr_db"] > 100
    assert 30 < half["psnr_db"] < 100
    assert [row["model"] for row in found["steps"]] == ["ti2v-5b", "a14b"]
    for row in [*found["steps"], *found["vae"]]:
        assert row["ratio"] > 0
    assert found["steps"][1]["seconds_all_layers"] > found["steps"][1]["seconds"]
    assert found["copies"][0]["to_host_per_step"] == 0
    assert found["server"][0]["seconds"] > 0


def test_what_keeps_a_check_from_finding_more_is_reported(tmp_path: Path) -> None:
    (tmp_path / "prepared.json").write_text('{"device": "cpu", "is_small": true}')
    gpu_check("check", "toys", tmp_path, status=1)
    (result,) = read_results(tmp_path)
    assert result.error is not None
    assert "toys" in result.error
    assert result.error in write_report(tmp_path).read_text()


def test_it_runs_only_what_was_prepared(tmp_path: Path) -> None:
    said = gpu_check("run", tmp_path, status=1)
    assert said == f"{tmp_path} holds nothing that was prepared: python -m benchmarks.gpu_check prepare {tmp_path}\n"


def test_what_was_found_before_the_process_died_is_reported(tmp_path: Path) -> None:
    Result(check="steps", found={"seconds": 0.25}).append(tmp_path)
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"check": "steps", "found"')
    assert write_report(tmp_path) == tmp_path / REPORT_FILE
    assert (tmp_path / REPORT_FILE).read_text() == "## steps\n\n| seconds |\n|---|\n| 0.25 |\n\n"
