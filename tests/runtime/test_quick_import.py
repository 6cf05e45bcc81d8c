"""A model's process imports what its graphs need, and nothing else: all models of a server start at once."""

import subprocess
import sys

CODE = """
import sys
import protocol.heartbeat, runtime.onnx_engine
slow = {"pydantic", "asyncio", "torch", "runtime.vae_engine", "pipelines"} & sys.modules.keys()
assert not slow, slow
"""


def test_a_model_of_one_graph_needs_little() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
