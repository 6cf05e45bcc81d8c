"""A plain gRPC client of `generate`, as any Triton user would write it."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import tritonclient.grpc.aio as grpcclient
from numpy.typing import NDArray

INPUTS = {
    "task": "BYTES",
    "model": "BYTES",
    "prompt": "BYTES",
    "sampling_parameters": "BYTES",
    "timeout_seconds": "FP64",
}
_NUMPY = {"BYTES": np.object_, "FP64": np.float64}


@dataclass
class Response:
    """One message of the stream."""

    event: dict[str, Any]
    frames: NDArray[np.uint8] | None

    @property
    def progress(self) -> list[int]:
        """Steps done, steps in all, frames decoded, frames in all; empty in other events."""
        names = ("steps_done", "steps", "frames_done", "frames")
        return [self.event[name] for name in names] if self.event["type"] == "progress" else []


class GenerateError(Exception):
    """The error that ended a stream: `code[field]: message`, or what Triton said."""


@dataclass
class Generated:
    """Everything that one request brought."""

    responses: list[Response] = field(default_factory=list)

    @property
    def frames(self) -> NDArray[np.uint8]:
        return np.concatenate([r.frames for r in self.responses if r.frames is not None])

    @property
    def info(self) -> dict[str, Any]:
        """The last event."""
        return self.responses[-1].event


async def stream(url: str, request_id: str = "", **fields: Any) -> AsyncGenerator[Response]:
    """Send one request and yield what comes back; closing the generator cancels it.

    Args:
        fields: inputs, and sampling parameters.
    """
    inputs = {name: value for name, value in fields.items() if _is_input(name, value)}
    if parameters := {name: value for name, value in fields.items() if name not in inputs}:
        inputs["sampling_parameters"] = json.dumps(parameters)
    async with grpcclient.InferenceServerClient(url) as client:
        request = {
            "model_name": "generate",
            "inputs": [_tensor(name, value) for name, value in inputs.items()],
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
                response = _read(result)
                if response.event["type"] == "failed":
                    raise GenerateError(_text(**response.event))
                yield response
                if result.get_response().parameters["triton_final_response"].bool_param:
                    return
        finally:
            responses.cancel()


async def generate(url: str, request_id: str = "", **fields: Any) -> Generated:
    """Make one video."""
    return Generated([response async for response in stream(url, request_id, **fields)])


def _is_input(name: str, value: Any) -> bool:
    return name in (*INPUTS, "image") or isinstance(value, grpcclient.InferInput)


def _tensor(name: str, value: Any) -> grpcclient.InferInput:
    if isinstance(value, grpcclient.InferInput):
        return value
    if name == "image":
        image = grpcclient.InferInput(name, value.shape, "UINT8")
        image.set_data_from_numpy(value)
        return image
    kind = INPUTS[name]
    tensor = grpcclient.InferInput(name, [1], kind)
    tensor.set_data_from_numpy(np.array([value.encode() if isinstance(value, str) else value], _NUMPY[kind]))
    return tensor


def _read(result: Any) -> Response:
    return Response(json.loads(result.as_numpy("event")[0]), result.as_numpy("frames"))


def _text(code: str, message: str, field: str | None = None, **_: str) -> str:
    return f"{code}[{field}]: {message}" if field else f"{code}: {message}"
