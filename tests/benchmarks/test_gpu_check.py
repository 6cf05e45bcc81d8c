"""The checks of a GPU, tried on the CPU with tiny models: all of them find something."""

import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu_check.report import REPORT_FILE, Result, read_results, write_report
from launcher.settings import PROJECT_ROOT


def gpu_check(*arguments: object) -> str:
    command = [sys.executable, "-m", "benchmarks.gpu_check", *map(str, arguments)]
    done = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def prepared(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpu_check") / "work"
    gpu_check("prepare", folder, "--device", "cpu", "--small", "--checkpoint", tiny_checkpoint)
    return folder


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


def test_a_check_that_fails_says_so_and_the_next_ones_go_on(tmp_path: Path) -> None:
    report = gpu_check("run", tmp_path, "--seconds", 300)
    assert {result.check for result in read_results(tmp_path)} == {
        "machine",
        "toys",
        "steps",
        "vae",
        "copies",
        "server",
    }
    assert "prepared.json" in report


def test_what_was_found_before_the_process_died_is_reported(tmp_path: Path) -> None:
    Result(check="steps", found={"seconds": 0.25}).append(tmp_path)
    with (tmp_path / "results.jsonl").open("a") as file:
        file.write('{"check": "steps", "found"')
    assert write_report(tmp_path) == tmp_path / REPORT_FILE
    assert (tmp_path / REPORT_FILE).read_text() == "## steps\n\n| seconds |\n|---|\n| 0.25 |\n\n"
