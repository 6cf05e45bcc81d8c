"""The generator on Triton: one gRPC stream to the model `generate` for each job.

The contract of the stream is in model_repository/generate/config.pbtxt.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from tritonclient.grpc import InferInput, InferResult
from tritonclient.grpc.aio import InferenceServerClient
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from frontend.errors import EngineFailed, EngineStalled, EngineUnavailable
from frontend.generators.generator import Checkpoint, Event, Frames, Preview
from frontend.launcher_status import LauncherStatus, describe
from protocol import events
from protocol.errors import PipelineError
from protocol.events import Done, Failed, Loras, Models, Progress, read_event
from protocol.lora import LoraInfo
from protocol.model_card import ModelCard
from protocol.sampling import AnySpec
from protocol.triton_messages import says_model_is_away
from tracing.spans import carrier, is_sampled

MODEL = "generate"
DESCRIBE_TIMEOUT_SECONDS = 2.0
"""a healthy `generate` describes its models in milliseconds; a killed one never answers, yet Triton calls it ready"""
LORAS_TIMEOUT_SECONDS = 20.0
"""it reads the header of every new adapter first"""

_CHANNEL_OPTIONS = [
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # gRPC would wait up to two minutes before it tries a restarted server again.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 250),
]


Answer = TypeVar("Answer", Models, Loras)


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
        cards = list((await self._ask("describe", Models)).models)
        self._components = {card.id: card.components.names() for card in cards}
        return cards

    async def loras(self) -> list[LoraInfo]:
        return list((await self._ask("loras", Loras, LORAS_TIMEOUT_SECONDS)).loras)

    async def check_ready(self) -> None:
        if away := self._launcher_status.away():
            raise EngineUnavailable(describe(away))
        try:
            async with asyncio.timeout(2 * DESCRIBE_TIMEOUT_SECONDS):
                cards = await self.models()
                if not cards:
                    raise EngineUnavailable("no model is loaded")
                needed = {name for card in cards for name in card.components.names()}
                swapped = self._launcher_status.swapped()
                for name in sorted(needed.difference(swapped)):
                    if not await self._client.is_model_ready(name):
                        raise EngineUnavailable(f"Triton's model {name!r} is not ready")
                # Last: it is false for one missing model, and does not say which; also for one that comes or goes.
                if not swapped and not await self._client.is_server_ready():
                    raise EngineUnavailable(f"Triton at {self._url} is not ready")
        except InferenceServerException as error:
            raise self._unreachable(error.message()) from error
        except TimeoutError:
            raise self._unreachable("no answer") from None

    async def generate(
        self,
        model: str,
        spec: AnySpec,
        *,
        request_id: str,
        timeout_seconds: float,
        checkpoint_seconds: float = 0,
        resume: bytes | None = None,
        previews: int = 0,
        preview_seconds: float = 0,
    ) -> AsyncGenerator[Event, None]:
        if lost := self._launcher_status.lost(self._components.get(model, [])):
            raise EngineUnavailable(lost)
        inputs = {
            "model": model,
            "prompt": spec.prompt,
            "sampling_parameters": spec.parameters(),
            "image": spec.image,
            "timeout_seconds": timeout_seconds,
            "checkpoint_seconds": checkpoint_seconds or None,
            "resume": None if resume is None else np.frombuffer(resume, np.uint8),
            "previews": np.array([previews], np.int32) if previews else None,
            "preview_seconds": preview_seconds or None,
        }
        checkpoint = _CheckpointParts()
        stream = self._stream(inputs, request_id=request_id, silence=self._stall_timeout)
        async with aclosing(stream) as responses:
            async for response in responses:
                frames = response.as_numpy("frames")
                if frames is not None:
                    yield Frames(frames)
                match _read(response):
                    case Progress() as progress:
                        yield progress
                    case events.Checkpoint() as part:
                        if whole := checkpoint.add(part, response.as_numpy("checkpoint")):
                            yield whole
                    case events.Preview(steps_done=steps_done, steps=steps):
                        yield Preview(_pixels(response), steps_done, steps)
                    case Done() as done:
                        yield done
                        return
                    case other:
                        raise EngineFailed(f"a job answered with {other.type!r}")
        raise EngineFailed("the job ended without its report")

    async def _ask(self, task: str, answer: type[Answer], timeout_seconds: float = DESCRIBE_TIMEOUT_SECONDS) -> Answer:
        """The answer to a question that makes no job."""
        stream = self._stream({"task": task}, request_id=task, silence=timeout_seconds)
        async with aclosing(stream) as responses:
            async for response in responses:
                event = _read(response)
                if isinstance(event, answer):
                    return event
                raise EngineFailed(f"{task!r} was answered with {event.type!r}")
        raise EngineFailed(f"{task!r} ended without an answer")

    async def _stream(
        self, inputs: dict[str, Any], *, request_id: str, silence: float
    ) -> AsyncGenerator[InferResult, None]:
        """The responses to one request, until the final one; closing it cancels the request in Triton.

        Args:
            silence: seconds without a response after which the stream is given up.
        """
        span = carrier()
        request = {"model_name": MODEL, "inputs": _tensors(inputs), "request_id": request_id, "parameters": span}
        # The parameters are for `generate`; the headers for Triton's own spans, which it makes whether sampled or not.
        call = self._client.stream_infer(_once(request), headers=span if is_sampled() else None)
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
                    raise _triton_error(error.message())
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


class _CheckpointParts:
    """Puts checkpoints together."""

    def __init__(self) -> None:
        self._content = bytearray()

    def add(self, part: events.Checkpoint, content: NDArray[np.uint8] | None) -> Checkpoint | None:
        """The checkpoint, with its last part. Raises EngineFailed where a part is missing."""
        if part.start == 0:
            self._content.clear()
        if content is None or part.start != len(self._content):
            raise EngineFailed("a part of a checkpoint is missing")
        self._content += content.tobytes()
        return Checkpoint(part.steps_done, bytes(self._content)) if len(self._content) == part.bytes else None


async def _once(request: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
    yield request


def _tensors(inputs: dict[str, Any]) -> list[InferInput]:
    """The inputs that are not None: text, numbers and arrays."""
    tensors = []
    for name, value in inputs.items():
        match value:
            case None:
                continue
            case str():
                datatype, array = "BYTES", np.array([value.encode()], np.object_)
            case np.ndarray():
                datatype, array = np_to_triton_dtype(value.dtype), value
            case _:
                datatype, array = "FP64", np.array([value], np.float64)
        tensor = InferInput(name, list(array.shape), datatype)
        tensor.set_data_from_numpy(array)
        tensors.append(tensor)
    return tensors


def _read(response: InferResult) -> events.Event:
    """The event of a response.

    Raises:
        PipelineError: it is that the request has failed.
        EngineFailed: it breaks the contract, or reports a fault of `generate`.
    """
    try:
        event = read_event(response.as_numpy("event")[0])
    except (IndexError, TypeError, ValueError) as error:
        raise EngineFailed(f"unreadable event: {error}") from error
    if isinstance(event, Failed):
        failed = event.error()
        raise EngineFailed(failed.message) if type(failed) is PipelineError else failed
    return event


def _pixels(response: InferResult) -> NDArray[np.uint8]:
    """Of a preview. Raises EngineFailed where they are missing."""
    pixels = response.as_numpy("preview")
    if pixels is None or pixels.ndim != 3 or pixels.shape[-1] != 3 or 0 in pixels.shape:
        raise EngineFailed("a preview came without its pixels")
    found: NDArray[np.uint8] = pixels
    return found


def _triton_error(text: str) -> Exception:
    """The exception for an error that Triton itself words: it has not come to `generate`, or not back."""
    if says_model_is_away(text):
        return EngineUnavailable(f"the model {MODEL!r} is not available: {text}")
    return EngineFailed(text)
