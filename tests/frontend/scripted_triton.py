"""A real tritonserver whose `generate` does as the prompt says; see scripted_generate/model.py."""

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

from launcher.ports import resolve
from launcher.repository_api import RepositoryApi
from launcher.settings import Ports, Settings
from launcher.triton_server import TritonServer
from protocol.model_card import Components
from tests.model_cards import model_card
from tests.waiting import SECONDS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).parent / "scripted_generate" / "model.py"
LEAF_CONFIG = """
backend: "python"
input [ { name: "x" data_type: TYPE_FP32 dims: [ 1 ] } ]
output [ { name: "y" data_type: TYPE_FP32 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
"""
LEAF = """
import time

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    def execute(self, requests):
        return [self._answer(pb_utils.get_input_tensor_by_name(request, "x").as_numpy()) for request in requests]

    def _answer(self, x):
        time.sleep(float(x[0]))
        return pb_utils.InferenceResponse([pb_utils.Tensor("y", x)])
"""
"""takes as many seconds for a call as its input says, and one call after the other"""

CARD = model_card().model_copy(
    update={"components": Components(text_encoder="leaf", transformer="leaf", transformer_2="leaf", vae="leaf")}
)


class Scripted:
    """A tritonserver with the scripted `generate` and the model `leaf`."""

    def __init__(self, folder: Path) -> None:
        repository = folder / "models"
        for model in ("generate", "leaf"):
            (repository / model / "1").mkdir(parents=True)
        # The real contract, so that an input that it lacks, or a wrong type, fails here.
        shutil.copy(ROOT / "model_repository" / "generate" / "config.pbtxt", repository / "generate")
        shutil.copy(SCRIPT, repository / "generate" / "1")
        (repository / "generate" / "cards.json").write_text(json.dumps([CARD.model_dump()]))
        (repository / "leaf" / "config.pbtxt").write_text(LEAF_CONFIG)
        (repository / "leaf" / "1" / "model.py").write_text(LEAF)
        self._log = repository / "generate" / "log"
        self._release = repository / "generate" / "release"
        self.ports = resolve(Ports(0, 0, 0))
        self.server = TritonServer(Settings(folder / "run", repository, ports=self.ports, shm_region_mib=1))
        self.control = RepositoryApi(self.server.socket.path)

    @property
    def url(self) -> str:
        return f"127.0.0.1:{self.ports.grpc}"

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def release(self) -> None:
        """Let the jobs go on whose prompt is "held at STEP", now and later."""
        self._release.touch()

    async def logged(self, **entry: str) -> None:
        """Wait until the model has written a line with `entry`."""
        async with asyncio.timeout(SECONDS):
            while not any(entry.items() <= line.items() for line in self.log()):
                await asyncio.sleep(0.02)
