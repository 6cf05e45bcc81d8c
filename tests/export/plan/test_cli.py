"""`python -m export.plan`: what it prints, and what it refuses."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from export.plan.cli import app
from tests.conftest import ROOT

Configurations = Callable[[str], Path]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_help_teaches_with_an_example() -> None:
    result = run("--help")
    assert result.exit_code == 0
    assert '--gpu "RTX 4090"' in result.output
    for residency in ("resident", "swap", "stream"):
        assert residency in result.output


def test_it_runs_as_a_module_on_configurations_alone(configurations: Configurations) -> None:
    command = [sys.executable, "-m", "export.plan", str(configurations("Wan2.2-T2V-A14B")), "--gpu", "RTX 4090"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0] == "wan2.2-t2v-a14b in bfloat16 on RTX 4090: 25.8 GB, compute capability 8.9"
    rows = [line.split() for line in lines]
    assert ["transformer_2", "bfloat16", "14.29", "B", "28.6", "GB"] in rows
    assert ["text", "encoder", "bfloat16", "5.68", "B", "11.4", "GB"] in rows
    assert "1280x720 with 81 frames: 75,600 tokens" in lines
    assert "Reserve: 512 MiB of CUDA context" in done.stdout
    assert "estimated and not measured" in done.stdout
    assert "Use `stream`" in done.stdout


def test_json_holds_the_same(configurations: Configurations) -> None:
    result = run(configurations("Qwen-Image"), "--gpu", "48GB", "--json")
    plan = json.loads(result.output)
    assert plan["gpu"] == {"name": "48GB", "memory": 48_000_000_000, "capability": None}
    assert [(size["size"]["width"], size["best"]) for size in plan["sizes"]] == [(1024, "swap"), (1328, "swap")]
    resident, swap, stream = plan["sizes"][0]["verdicts"]
    assert (resident["fits"], swap["fits"], stream["streamed_per_step"]) == (False, True, 0)
    assert plan["sizes"][0]["needed"] == min(resident["peak"]["total"], swap["peak"]["total"], stream["peak"]["total"])
    assert plan["recommendation"].startswith("Use `swap`")


def test_sizes_frames_and_precisions_can_be_chosen(configurations: Configurations) -> None:
    options = ("--size", "832x480", "--size", "640x384", "--frames", "41", "--vae-precision", "float32", "--json")
    plan = json.loads(run(configurations("Wan2.2-T2V-A14B"), "--gpu", "L40S", *options).output)
    assert [size["size"] for size in plan["sizes"]] == [
        {"width": 832, "height": 480, "frames": 41},
        {"width": 640, "height": 384, "frames": 41},
    ]
    decoder = plan["sizes"][0]["stages"][-1]
    assert decoder["precision"] == "float32"
    # caches of 3.8 GB in float32, whatever the number of frames
    assert decoder["caches"] == pytest.approx(3.78e9, rel=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gpu", "RTX 4095"], "no such GPU is known; did you mean RTX 4090"),
        (["--gpu=-24GB"], "more than 0 bytes"),
        (["--gpu", "V100 16GB"], "nothing here runs on it"),
        (["--gpu", "T4", "--precision", "bfloat16"], "use --precision float16"),
        (["--gpu", "T4", "--vae-precision", "bfloat16"], "use --precision float16"),
        (["--gpu", "H100", "--size", "large"], "must be WIDTHxHEIGHT in pixels, such as 832x480"),
        (["--gpu", "H100", "--size", "830x480"], "must be multiples of 16 pixels"),
        (["--gpu", "H100", "--frames", "80"], "such as 77 or 81"),
        (["--gpu", "H100", "--frames", "-3"], "such as 1 or 5"),
    ],
)
def test_a_refusal_is_one_sentence_and_status_1(
    configurations: Configurations, options: list[str], message: str
) -> None:
    result = run(configurations("Wan2.2-T2V-A14B"), *options)
    assert result.exit_code == 1
    assert message in " ".join(result.output.split())
    assert "Traceback" not in result.output


def test_a_folder_that_is_no_checkpoint(tmp_path: Path) -> None:
    result = run(tmp_path, "--gpu", "H100")
    assert result.exit_code == 1
    assert "is not a diffusers checkpoint" in result.output
