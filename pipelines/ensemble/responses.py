"""Reads a request's tensors, and writes the responses that config.pbtxt describes."""

from __future__ import annotations  # Triton makes its classes later than it imports this

import asyncio
import json
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

from pipelines.ensemble.text_input import read_object, read_text
from pipelines.unstoppable import until_done
from protocol.errors import Cancelled, InvalidRequest, PipelineError
from protocol.events import Checkpoint, Event, Failed, Preview, Progress
from tracing.spans import Carrier

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL


def read_fields(request: pb_utils.InferenceRequest) -> dict[str, Any]:
    """The request's tensors as Python values, by name; an image and a checkpoint stay arrays.

    Raises:
        InvalidRequest: a tensor does not hold one value; a string is too long, not UTF-8, or not a JSON object where
            it should be.
    """
    fields: dict[str, Any] = {}
    for tensor in request.inputs():
        array = tensor.as_numpy()
        if tensor.name() in ("image", "resume"):
            fields[tensor.name()] = array
            continue
        if array.size != 1:
            raise InvalidRequest(f"must be one value, got {array.size}", tensor.name())
        value = array.item()
        if isinstance(value, bytes):
            read = read_object if tensor.name() == "sampling_parameters" else read_text
            fields[tensor.name()] = read(value, tensor.name())
        else:
            fields[tensor.name()] = value
    return fields


def read_span(request: pb_utils.InferenceRequest) -> Carrier:
    """The span of the request's client; empty where it has sent none."""
    given = json.loads(request.parameters())
    return {name: value for name in ("traceparent", "tracestate") if isinstance(value := given.get(name), str)}


class Responder:
    """Sends one request's responses, one at a time, the last of them with Triton's FINAL flag.

    A send waits for Triton to take the tensors, so it runs in a thread.
    """

    def __init__(self, sender: pb_utils.InferenceResponseSender) -> None:
        self._sender = sender
        self._lock = asyncio.Lock()  # hands itself on in the order of asking
        self._finished = False
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def is_busy(self) -> bool:
        """Whether a response is on its way to Triton."""
        return bool(self._under_way) or self._lock.locked()

    def is_cancelled(self) -> bool:
        return self._sender.is_cancelled()

    async def progress(self, progress: Progress) -> None:
        """Send how far the job is now; the job goes on meanwhile."""
        task = asyncio.create_task(self._send(progress))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def frames(self, frames: NDArray[np.uint8], progress: Progress) -> None:
        """Send decoded frames [n, height, width, 3], and how far the job is with them."""
        await self._send(progress, pb_utils.Tensor("frames", frames))

    async def checkpoint(self, event: Checkpoint, part: NDArray[np.uint8]) -> None:
        """Send a part of a checkpoint [n]."""
        await self._send(event, pb_utils.Tensor("checkpoint", part))

    async def preview(self, event: Preview, pixels: NDArray[np.uint8]) -> None:
        """Send a preview [height, width, 3]."""
        await self._send(event, pb_utils.Tensor("preview", pixels))

    async def last(self, event: Event) -> None:
        """Send the request's last event."""
        await self._send(event, final=True)

    async def error(self, error: PipelineError) -> None:
        """End the request with an error, unless it has ended already."""
        if isinstance(error, Cancelled):  # nobody reads it; Triton counts the request as cancelled by its own error
            triton_error = pb_utils.TritonError(Failed.of(error).message, pb_utils.TritonError.CANCELLED)
            await self._respond(pb_utils.InferenceResponse(error=triton_error), final=True)
        else:
            await self.last(Failed.of(error))

    async def _send(self, event: Event, *tensors: pb_utils.Tensor, final: bool = False) -> None:
        said = pb_utils.Tensor("event", np.array([event.to_json().encode()], np.object_))
        await self._respond(pb_utils.InferenceResponse([said, *tensors]), final)

    async def _respond(self, response: pb_utils.InferenceResponse, final: bool) -> None:
        async with self._lock:
            if self._finished:
                return
            await until_done(asyncio.get_running_loop().run_in_executor(None, self._send_now, response, final))

    def _send_now(self, response: pb_utils.InferenceResponse, final: bool) -> None:
        self._sender.send(response, flags=FINAL if final else 0)
        self._finished = final  # not before: where a last response cannot be sent, an error is one in its place
