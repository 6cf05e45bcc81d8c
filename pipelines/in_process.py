"""Runs the leaf models of a model repository in this process, for tests and debugging: no Triton, the same graphs."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

import torch
from torch.utils.dlpack import from_dlpack

from pipelines.lora.folder import LoraFolder
from pipelines.runner import Chunk, Inputs
from pipelines.unstoppable import until_done
from protocol.errors import ModelFailed
from protocol.placement import AUTO
from runtime.engine import Engine
from runtime.onnx_engine import open_engine


class InProcessRunner:
    """A `ModelRunner` over engines, loaded when first called.

    Args:
        loras: where the adapters are that transformers are asked to apply.
        engine: see `protocol.placement.EngineName`.
        device: see `protocol.placement.parse_device`.
    """

    def __init__(
        self,
        model_repository: Path,
        threads: int = 0,
        loras: LoraFolder | None = None,
        engine: str = AUTO,
        device: str = AUTO,
    ) -> None:
        self._repository = model_repository
        self._threads = threads
        self._loras = loras
        self._engine_name = engine
        self._device = device
        self._engines: dict[str, Engine] = {}
        self._loading = Lock()  # calls come from several threads, and a streaming model must be loaded once

    async def infer(self, model: str, inputs: Inputs, output: str, chunk: Chunk | None = None) -> torch.Tensor:
        loop = asyncio.get_running_loop()
        return await until_done(loop.run_in_executor(None, self._infer, model, inputs, output, chunk))

    def _infer(self, model: str, inputs: Inputs, output: str, chunk: Chunk | None) -> torch.Tensor:
        try:
            contiguous = {
                name: value if isinstance(value, str) else value.contiguous() for name, value in inputs.items()
            }
            with _handing_on(contiguous):
                return from_dlpack(self._engine(model).run(contiguous, chunk)[output])
        except Exception as error:
            raise ModelFailed(f"{model}: {error}") from error

    def _engine(self, model: str) -> Engine:
        with self._loading:
            if model not in self._engines:
                self._engines[model] = open_engine(
                    self._repository / model / "1",
                    self._threads,
                    lambda: self._loras,
                    engine=self._engine_name,
                    device=self._device,
                )
            return self._engines[model]


@contextmanager
def _handing_on(inputs: Inputs) -> Iterator[None]:
    """Tensors on a GPU are ready for whoever takes them, within the block: engines compute on streams of their own."""
    device = next((one.device for one in inputs.values() if not isinstance(one, str) and one.is_cuda), None)
    if device is None:
        yield
        return
    with torch.cuda.device(device):  # torch hands on only what is on the current one
        torch.cuda.current_stream().synchronize()
        yield
