import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.launcher.conftest import Launched


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "launcher", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=30, check=False)


def test_help_teaches_with_examples() -> None:
    done = run("--help")
    assert done.returncode == 0
    assert "python -m launcher --host 0.0.0.0 --port 9000" in done.stdout
    assert "TRITONREEL_GRPC_PORT" in done.stdout


def test_stop_ends_the_server_of_a_run_folder(launch: Callable[..., Launched], repository: Path) -> None:
    launched = launch(repository, "--no-frontend")
    launched.wait_for("ready in")
    done = run("stop", "--run-dir", str(launched.run_dir))
    assert done.stdout == f"Stopped the server in {launched.run_dir}.\n"
    assert launched.wait_for_exit(2) == 0


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--device", "gpu"), "device must be auto, cpu or cuda:N with the number of a GPU, not 'gpu'"),
        (("--storage", "gs://bucket"), "the storage must be a folder, file:///FOLDER, or s3://BUCKET/PREFIX"),
        (("--engine", "trt"), "engine must be auto, onnxruntime, tensorrt, not 'trt'"),
    ],
)
def test_engines_devices_and_storages_that_there_are_none_of(option: tuple[str, str], message: str) -> None:
    done = run(*option)
    assert done.returncode == 2
    assert message in " ".join(done.stderr.split())


def test_stop_without_a_server(tmp_path: Path) -> None:
    assert run("stop", cwd=tmp_path).stdout == "No server is running.\n"
