"""A plain gRPC client of `generate`, as any Triton user would write it."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tritonclient.grpc.aio as grpcclient
from numpy.typing import NDArray

_TYPES = {
    "task": "BYTES",
    "model": "BYTES",
    "prompt": "BYTES",
    "negative_prompt": "BYTES",
    "solver": "BYTES",
    "lora": "BYTES",
    "seed": "INT64",
    "width": "INT32",
    "height": "INT32",
    "num_frames": "INT32",
    "num_inference_steps": "INT32",
}
_NUMPY = {"BYTES": np.object_, "INT64": np.int64, "INT32": np.int32, "FP64": np.float64}


@dataclass
class Response:
    """One message of the stream."""

    progress: list[int] | None
    frames: NDArray[np.uint8] | None
    info: dict[str, Any] | None


class GenerateError(Exception):
    """The error that ended a stream."""


@dataclass
class Clip:
    """Everything that one request brought."""

    responses: list[Response] = field(default_factory=list)

    @property
    def frames(self) -> NDArray[np.uint8]:
        return np.concatenate([r.frames for r in self.responses if r.frames is not None])

    @property
    def info(self) -> dict[str, Any]:
        info = self.responses[-1].info
        assert info is not None
        return info


async def stream(url: str, request_id: str = "", **fields: Any) -> AsyncGenerator[Response]:
    """Send one request and yield what comes back; closing the generator cancels it."""
    async with grpcclient.InferenceServerClient(url) as client:
        request = {
            "model_name": "generate",
            "inputs": [_tensor(name, value) for name, value in fields.items()],
            "request_id": request_id,
            "enable_empty_final_response": True,
        }

        async def requests() -> AsyncGenerator[dict[str, Any]]:
            yield request

        responses = client.stream_infer(requests())
        try:
            async for result, error in responses:
                if error is not None:
                    raise GenerateError(error.message())
                yield _read(result)
                if result.get_response().parameters["triton_final_response"].bool_param:
                    return
        finally:
            responses.cancel()


async def generate(url: str, request_id: str = "", **fields: Any) -> Clip:
    """Make one clip."""
    return Clip([response async for response in stream(url, request_id, **fields)])


def _tensor(name: str, value: Any) -> grpcclient.InferInput:
    if isinstance(value, grpcclient.InferInput):
        return value
    if name == "image":
        image = grpcclient.InferInput(name, value.shape, "UINT8")
        image.set_data_from_numpy(value)
        return image
    kind = _TYPES.get(name, "FP64")
    tensor = grpcclient.InferInput(name, [1], kind)
    tensor.set_data_from_numpy(np.array([value.encode() if isinstance(value, str) else value], _NUMPY[kind]))
    return tensor


def _read(result: Any) -> Response:
    progress, frames, info = (result.as_numpy(name) for name in ("progress", "frames", "info"))
    return Response(
        progress=None if progress is None else progress.tolist(),
        frames=frames,
        info=None if info is None else json.loads(info[0]),
    )
