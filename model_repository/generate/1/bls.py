"""Runs the leaf models through Triton's business logic scripting (BLS)."""

import numpy as np
import triton_python_backend_utils as pb_utils

from pipelines.errors import ModelFailed
from pipelines.runner import Array, Chunk, Tensors

START = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START
END = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END


class BlsRunner:
    """A `pipelines.runner.ModelRunner`."""

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
        response = await request.async_exec()
        if response.has_error():
            raise ModelFailed(f"{model}: {response.error().message()}")
        # The tensor's memory goes back to the shared region with the response.
        return pb_utils.get_output_tensor_by_name(response, output).as_numpy().copy()
