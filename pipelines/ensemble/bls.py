"""Runs the leaf models through Triton's business logic scripting (BLS)."""

from __future__ import annotations  # Triton makes its classes later than it imports this

import asyncio
import time

import numpy as np
import triton_python_backend_utils as pb_utils

from pipelines.runner import Array, Chunk, Tensors
from pipelines.unstoppable import until_done
from protocol.errors import ModelAway, ModelFailed
from protocol.triton_messages import says_model_is_away

START = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START
END = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END

RETRY_SECONDS = 10.0
RETRY_PAUSE_SECONDS = 0.2


class BlsRunner:
    """A `pipelines.runner.ModelRunner`.

    A model that has died is brought back from outside; a call that keeps no state in it waits for that a while, so
    that its job survives. Cancelling the call ends that wait at once.
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
        while (response := await _execute(request, model)).has_error():
            message = response.error().message()
            if not says_model_is_away(message):
                raise ModelFailed(f"{model}: {message}")
            if time.monotonic() > deadline:
                raise ModelAway(f"{model}: {message}")
            await asyncio.sleep(RETRY_PAUSE_SECONDS)
        tensor = pb_utils.get_output_tensor_by_name(response, output)
        if tensor is None:
            raise ModelFailed(f"{model} answered without its output {output!r}")
        # The tensor's memory goes back to the shared region with the response.
        array: Array = tensor.as_numpy().copy()
        return array


async def _execute(request: pb_utils.InferenceRequest, model: str) -> pb_utils.InferenceResponse:
    """The response to one call."""
    try:
        return await until_done(request.async_exec())
    except pb_utils.TritonModelException as error:
        raise ModelFailed(f"{model}: {error}") from error
