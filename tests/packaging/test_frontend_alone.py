"""The frontend is installed alone, in an empty environment, as where Triton runs elsewhere."""

from pathlib import Path

import pytest

from tests.packaging.alone import Alone

HEAVY = ("torch", "diffusers", "transformers", "onnxruntime", "onnx", "nvidia_pytriton", "pytriton", "typer")
CHECK = f"""
import importlib.util, sys
import frontend.app, protocol.repository, opentelemetry.exporter.otlp.proto.http.trace_exporter
from importlib.resources import files
assert "site-packages" in frontend.__file__, frontend.__file__
assert (files("frontend") / "api_docs" / "index.html").is_file()
assert (files("frontend") / "page" / "index.html").is_file()
assert (files("frontend") / "page" / "script" / "main.js").is_file()
assert (files("fastapi_offline") / "static" / "swagger-ui.css").is_file()
print([name for name in {HEAVY!r} if importlib.util.find_spec(name)])
"""


@pytest.mark.slow
def test_the_frontend_alone_needs_neither_torch_nor_diffusers_nor_a_triton_server(tmp_path: Path) -> None:
    alone = Alone(tmp_path, ("frontend", "protocol", "tracing"))
    python = alone.programs / "python"
    assert alone.run(python, "-c", CHECK) == "[]\n"
    assert "Serve the HTTP API" in alone.run(python, "-m", "frontend", "--help")
