"""`tritonreel[cli]` is installed alone, in an empty environment, as on a machine that asks a server elsewhere."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = ("torch", "diffusers", "transformers", "onnxruntime", "onnx", "nvidia_pytriton", "pytriton", "psutil")


@pytest.mark.long
def test_the_client_alone_needs_neither_torch_nor_a_triton_server(tmp_path: Path) -> None:
    project = tmp_path / "project"  # a build leaves files behind
    project.mkdir()
    for file in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(ROOT / file, project)
    for package in ("cli", "frontend", "protocol", "tracing"):
        shutil.copytree(ROOT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
    programs = tmp_path / "venv" / "bin"

    def run(*command: str | Path, status: int = 0) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    run(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    pip = (programs / "python", "-m", "pip", "install", "--quiet", "--no-compile")
    run(*pip, "-c", project / "constraints.txt", f"{project}[cli]")

    found = f"import importlib.util; print([name for name in {HEAVY!r} if importlib.util.find_spec(name)])"
    assert run(programs / "python", "-c", found) == "[]\n"
    assert "--guidance-scale" in run(programs / "tritonreel", "video", "--help")
    assert "no server answers" in run(programs / "tritonreel", "image", "x", "--url", "http://127.0.0.1:9", status=1)
    assert "pip install 'tritonreel[serve]'" in run(programs / "tritonreel", "serve", status=1)
