"""The frontend is installed alone, in an empty environment, as where Triton runs elsewhere."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = ("torch", "diffusers", "transformers", "onnxruntime", "onnx", "nvidia_pytriton", "pytriton", "typer")
CHECK = f"""
import importlib.util, sys
import frontend.app, protocol.repository, opentelemetry.exporter.otlp.proto.http.trace_exporter
from importlib.resources import files
assert "site-packages" in frontend.__file__, frontend.__file__
assert (files("frontend") / "api_docs" / "index.html").is_file()
assert (files("fastapi_offline") / "static" / "swagger-ui.css").is_file()
print([name for name in {HEAVY!r} if importlib.util.find_spec(name)])
"""


@pytest.mark.slow
def test_the_frontend_alone_needs_neither_torch_nor_diffusers_nor_a_triton_server(tmp_path: Path) -> None:
    project = tmp_path / "project"  # a build leaves files behind
    project.mkdir()
    for file in ("pyproject.toml", "README.md", "LICENSE", "constraints.txt"):
        shutil.copy(ROOT / file, project)
    for package in ("frontend", "protocol", "tracing"):
        shutil.copytree(ROOT / package, project / package, ignore=shutil.ignore_patterns("__pycache__"))
    python = str(tmp_path / "venv" / "bin" / "python")

    def run(*command: str) -> str:
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    run(sys.executable, "-m", "venv", str(tmp_path / "venv"))
    run(python, "-m", "pip", "install", "--quiet", "--no-compile", "-c", str(project / "constraints.txt"), str(project))

    assert run(python, "-c", CHECK) == "[]\n"
    assert "Serve the HTTP API" in run(python, "-m", "frontend", "--help")
