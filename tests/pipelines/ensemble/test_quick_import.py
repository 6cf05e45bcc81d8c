import subprocess
import sys

import pytest

CODE = """
import sys
import pipelines.ensemble.admission, pipelines.ensemble.job, pipelines.lora.folder
import pipelines.step_batcher, protocol.sampling
assert "diffusers" not in sys.modules, "what `generate` imports before its pipelines brings them along"
from pipelines.ensemble.quick_import import without_torch_compiler
with without_torch_compiler():
    from pipelines.families import Pipelines
assert "torch._dynamo" not in sys.modules, "somebody imported the compiler"
assert "transformers" not in sys.modules, "somebody imports what only an export needs"
assert "diffusers.models" not in sys.modules, "somebody imports diffusers' models"
from pipelines.schedulers import make_scheduler
assert len(make_scheduler({"use_flow_sigmas": True, "prediction_type": "flow_prediction"}, "unipc", 3.0, 4).sigmas) == 5
import torch._dynamo
"""


@pytest.mark.slow
def test_sampling_needs_neither_the_compiler_nor_diffusers_models() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
