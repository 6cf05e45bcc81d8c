"""The generator on Triton: one gRPC stream to the model `generate` for each job.

The contract of the stream is in model_repository/generate/config.pbtxt.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
import numpy as np
from pydantic import BaseModel
from tritonclient.grpc import InferInput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException

from frontend.errors import EngineFailed, EngineStalled, EngineUnavailable
from frontend.generators.generator import Done, Event, Frames, JobInfo, Progress
from frontend.launcher_status import LauncherStatus, describe
from protocol.errors import PipelineError
from protocol.lora import LoraInfo
from protocol.model_card import ModelCard
from protocol.sampling import SamplingParams
from protocol.triton_messages import says_model_is_away

MODEL = "generate"
DESCRIBE_TIMEOUT_SECONDS = 2.0
"""a healthy `generate` describes its models in milliseconds; a killed one never answers, yet Triton calls it ready"""

_TYPES = {
    "seed": "INT64",
    "width": "INT32",
    "height": "INT32",
    "num_frames": "INT32",
    "num_inference_steps": "INT32",
    "guidance_scale": "FP64",
    "guidance_scale_2": "FP64",
    "true_cfg_scale": "FP64",
    "flow_shift": "FP64",
    "boundary_ratio": "FP64",
    "timeout_seconds": "FP64",
}
"""Triton's data type of each input that is not a string"""
_NUMPY = {"INT64": np.int64, "INT32": np.int32, "FP64": np.float64, "BYTES": np.object_}

_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC would wait up to two minutes before it tries a restarted server again.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 250),
]


class _Description(BaseModel):
    """What `describe` answers."""

    models: list[ModelCard]


class _Adapters(BaseModel):
    """What `loras` answers."""

    loras: list[LoraInfo]


Answer = TypeVar("Answer", bound=BaseModel)


class TritonGenerator:
    """Talks to the Triton server at `url` (host:port of gRPC).

    Args:
        stall_timeout_seconds: a stream that is silent for longer is given up.
        launcher_status: what is known to be away.
    """

    def __init__(
        self, url: str, *, stall_timeout_seconds: float, launcher_status: LauncherStatus | None = None
    ) -> None:
        self._url = url
        self._launcher_status = launcher_status or LauncherStatus(None)
        self._components: dict[str, list[str]] = {}
        self._stall_timeout = stall_timeout_seconds
        self._opened: InferenceServerClient | None = None

    async def open(self) -> None:
        self._opened = InferenceServerClient(self._url, channel_args=_CHANNEL_OPTIONS)

    async def close(self) -> None:
        if self._opened is not None:
            await self._opened.close()
            self._opened = None

    async def models(self) -> list[ModelCard]:
        cards = (await self._ask("describe", _Description)).models
        self._components = {card.id: card.components.names() for card in cards}
        return cards

    async def loras(self) -> list[LoraInfo]:
        return (await self._ask("loras", _Adapters)).loras

    async def check_ready(self) -> None:
        if away := self._launcher_status.away():
            raise EngineUnavailable(describe(away))
        try:
            async with asyncio.timeout(2 * DESCRIBE_TIMEOUT_SECONDS):
                cards = await self.models()
                if not cards:
                    raise EngineUnavailable("no model is loaded")
                for name in sorted({name for card in cards for name in card.components.names()}):
                    if not await self._client.is_model_ready(name):
                        raise EngineUnavailable(f"Triton's model {name!r} is not ready")
                # Last: it is false for one missing model, and does not say which.
                if not await self._client.is_server_ready():
                    raise EngineUnavailable(f"Triton at {self._url} is not ready")
        except InferenceServerException as error:
            raise self._unreachable(error.message()) from error
        except TimeoutError:
            raise self._unreachable("no answer") from None

    async def generate(
        self, model: str, params: SamplingParams, *, request_id: str, timeout_seconds: float
    ) -> AsyncGenerator[Event, None]:
        if lost := self._launcher_status.lost(self._components.get(model, [])):
            raise EngineUnavailable(lost)
        inputs = {"model": model, **vars(params), "timeout_seconds": timeout_seconds}
        inputs["lora"] = json.dumps(params.to_json()["lora"]) if params.lora else None
        stream = self._stream(inputs, request_id=request_id, silence=self._stall_timeout)
        async with aclosing(stream) as responses:
            async for response in responses:
                for event in _events(response):
                    yield event
                    if isinstance(event, Done):
                        return
        raise EngineFailed("the job ended without its report")

    async def _ask(self, task: str, answer: type[Answer]) -> Answer:
        """The answer to a question that makes no job."""
        stream = self._stream({"task": task}, request_id=task, silence=DESCRIBE_TIMEOUT_SECONDS)
        async with aclosing(stream) as responses:
            async for response in responses:
                info = response.as_numpy("info")
                if info is not None:
                    try:
                        return answer.model_validate_json(info[0])
                    except (IndexError, ValueError) as error:
                        raise EngineFailed(f"unreadable answer to {task!r}: {error}") from error
        raise EngineFailed(f"{task!r} ended without an answer")

    async def _stream(
        self, inputs: dict[str, Any], *, request_id: str, silence: float
    ) -> AsyncGenerator[InferResult, None]:
        """The responses to one request, until the final one; closing it cancels the request in Triton.

        Args:
            silence: seconds without a response after which the stream is given up.
        """
        request = {"model_name": MODEL, "inputs": _tensors(inputs), "request_id": request_id}
        call = self._client.stream_infer(_once(request))
        try:
            while True:
                try:
                    async with asyncio.timeout(silence):
                        response, error = await anext(call)
                except TimeoutError:
                    raise EngineStalled(f"the model {MODEL!r} stopped responding") from None
                except StopAsyncIteration:
                    raise self._unreachable("the stream ended early") from None
                except grpc.aio.AioRpcError as lost:
                    raise self._unreachable(lost.details() or lost.code().name) from lost
                if error is not None:
                    raise _job_error(error.message())
                yield response
                if response.get_response().parameters["triton_final_response"].bool_param:
                    return
        finally:
            call.cancel()

    @property
    def _client(self) -> InferenceServerClient:
        if self._opened is None:
            raise EngineUnavailable("the generator is closed")
        return self._opened

    def _unreachable(self, reason: str) -> EngineUnavailable:
        lost = self._launcher_status.lost([])
        return EngineUnavailable(lost or f"Triton at {self._url} cannot be reached: {reason}")


async def _once(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield request


def _tensors(inputs: dict[str, Any]) -> list[InferInput]:
    """The inputs that are not None: the image as it is, the others as tensors of one element."""
    tensors = []
    for name, value in inputs.items():
        if value is None:
            continue
        if isinstance(value, np.ndarray):
            datatype, array = "UINT8", value
        else:
            datatype = _TYPES.get(name, "BYTES")
            array = np.array([value.encode() if isinstance(value, str) else value], dtype=_NUMPY[datatype])
        tensor = InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    return tensors


def _events(response: InferResult) -> list[Event]:
    """What one response of `generate` says, the report last. Raises EngineFailed where it breaks the contract."""
    try:
        return _read(response)
    except (IndexError, TypeError, ValueError) as error:
        raise EngineFailed(f"unreadable response of a job: {error}") from error


def _read(response: InferResult) -> list[Event]:
    events: list[Event] = []
    frames = response.as_numpy("frames")
    if frames is not None:
        events.append(Frames(frames))
    progress = response.as_numpy("progress")
    if progress is not None:
        events.append(Progress(*(int(count) for count in progress)))
    info = response.as_numpy("info")
    if info is not None:
        events.append(Done(JobInfo.model_validate_json(info[0])))
    return events


def _job_error(text: str) -> Exception:
    """The exception for the error text of a stream."""
    error = PipelineError.from_text(text)
    if error is not None:
        return error
    if says_model_is_away(text):
        return EngineUnavailable(f"the model {MODEL!r} is not available: {text}")
    return EngineFailed(text)
