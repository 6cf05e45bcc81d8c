"""Runs the leaf models through Triton's business logic scripting (BLS)."""

from __future__ import annotations  # Triton makes its classes later than it imports this

import asyncio
import time
from typing import Any

import numpy as np
import torch
import triton_python_backend_utils as pb_utils
from torch.utils.dlpack import from_dlpack

from pipelines.runner import Chunk, Inputs
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

    async def infer(self, model: str, inputs: Inputs, output: str, chunk: Chunk | None = None) -> torch.Tensor:
        sequence: dict[str, Any] = {}
        if chunk is not None:
            sequence = {"correlation_id": chunk.sequence_id, "flags": START * chunk.start | END * chunk.end}
        request = pb_utils.InferenceRequest(
            model_name=model,
            requested_output_names=[output],
            inputs=[to_triton(name, value) for name, value in inputs.items()],
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
        return from_triton(tensor)


async def _execute(request: pb_utils.InferenceRequest, model: str) -> pb_utils.InferenceResponse:
    """The response to one call."""
    try:
        return await until_done(request.async_exec())
    except pb_utils.TritonModelException as error:
        raise ModelFailed(f"{model}: {error}") from error


def to_triton(name: str, value: torch.Tensor | str) -> pb_utils.Tensor:
    """A tensor, of any dtype and on any device, or a string as an input of a model."""
    if isinstance(value, str):
        return pb_utils.Tensor(name, np.array([value.encode()], np.object_))
    if value.numel() == 0 and value.dtype is not torch.bfloat16:  # which numpy does not know
        return pb_utils.Tensor(name, value.cpu().numpy())  # Triton takes few empty DLPack tensors for contiguous
    return pb_utils.Tensor.from_dlpack(name, value.contiguous())


def from_triton(tensor: pb_utils.Tensor) -> torch.Tensor:
    """A model's output, on the device that it lies on."""
    copy = from_dlpack(tensor).clone()  # its memory goes back to where Triton has it from with the response
    if copy.is_cuda:
        torch.cuda.current_stream(copy.device).synchronize()  # which is not to happen before it is copied
    return copy
