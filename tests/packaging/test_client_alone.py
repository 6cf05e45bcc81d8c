"""`tritonreel[cli]` is installed alone, in an empty environment, as on a machine that asks a server elsewhere."""

from pathlib import Path

import pytest

from tests.packaging.alone import Alone

HEAVY = ("torch", "diffusers", "transformers", "onnxruntime", "onnx", "nvidia_pytriton", "pytriton", "psutil")


@pytest.mark.long
def test_the_client_alone_needs_neither_torch_nor_a_triton_server(tmp_path: Path) -> None:
    alone = Alone(tmp_path, ("cli", "frontend", "protocol", "tracing"), "cli")
    python, client = alone.programs / "python", alone.programs / "tritonreel"

    found = f"import importlib.util; print([name for name in {HEAVY!r} if importlib.util.find_spec(name)])"
    assert alone.run(python, "-c", found) == "[]\n"
    assert "--guidance-scale" in alone.run(client, "video", "--help")
    assert "no server answers" in alone.run(client, "image", "x", "--url", "http://127.0.0.1:9", status=1)
    assert "pip install 'tritonreel[serve]'" in alone.run(client, "serve", status=1)
