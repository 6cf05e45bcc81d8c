"""Runs the leaf models through Triton's business logic scripting (BLS)."""

import asyncio
import time

import numpy as np
import triton_python_backend_utils as pb_utils

from pipelines.errors import ModelFailed
from pipelines.runner import Array, Chunk, Tensors

START = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START
END = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END


RETRY_SECONDS = 10.0
RETRY_PAUSE_SECONDS = 0.2
_AWAY = ("is not healthy", "unknown model", "is not ready")
"""parts of Triton's messages about a model whose process has died, or did not answer in time, or is loading again"""


class BlsRunner:
    """A `pipelines.runner.ModelRunner`.

    A model that has died is brought back from outside; a call that keeps no state in it waits for that a while, so
    that its job survives.
    """

    async def infer(self, model: str, inputs: Tensors, output: str, chunk: Chunk | None = None) -> Array:
        sequence = {}
        if chunk is not None:
            sequence = {"correlation_id": chunk.sequence_id, "flags": START * chunk.start | END * chunk.end}
        request = pb_utils.InferenceRequest(
            model_name=model,
            requested_output_names=[output],
            inputs=[pb_utils.Tensor(name, np.ascontiguousarray(array)) for name, array in inputs.items()],
            **sequence,
        )
        deadline = time.monotonic() + (RETRY_SECONDS if chunk is None else 0)
        while (response := await request.async_exec()).has_error():
            message = response.error().message()
            if time.monotonic() > deadline or not any(part in message for part in _AWAY):
                raise ModelFailed(f"{model}: {message}")
            await asyncio.sleep(RETRY_PAUSE_SECONDS)
        # The tensor's memory goes back to the shared region with the response.
        return pb_utils.get_output_tensor_by_name(response, output).as_numpy().copy()
