"""A Triton model that keeps the contract of `generate`, or breaks it, as the prompt says. Runs inside of Triton.

It appends what it gets to `log` in its folder, a JSON object per line.
"""

from __future__ import annotations  # Triton makes its classes later than it imports this

import asyncio
import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
INPUTS = ("task", "model", "prompt", "sampling_parameters", "timeout_seconds")
TIMINGS = {
    "queue_seconds": 0.1,
    "text_seconds": 0.2,
    "image_seconds": 0.0,
    "denoise_seconds": 0.3,
    "decode_seconds": 0.4,
    "total_seconds": 1.0,
}
ADAPTERS = [{"name": "ink", "rank": 16, "bytes": 1000, "models": ["toy-wan-t2v"]}]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._log = Path(args["model_repository"], "log")
        self._cards = json.loads(Path(args["model_repository"], "cards.json").read_text())
        self._tasks: set[asyncio.Task[None]] = set()

    async def execute(self, requests: list[pb_utils.InferenceRequest]) -> None:
        for request in requests:
            tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in INPUTS}
            values = {name: tensor.as_numpy()[0] for name, tensor in tensors.items() if tensor is not None}
            fields = {name: v.decode() if isinstance(v, bytes) else v.item() for name, v in values.items()}
            fields |= json.loads(fields.pop("sampling_parameters", "{}"))
            image = pb_utils.get_input_tensor_by_name(request, "image")
            if image is not None:
                fields["image"] = image.as_numpy().tolist()
            self._write(request_id=request.request_id(), fields=fields)
            sender = request.get_response_sender()
            task = asyncio.create_task(self._run(request.request_id(), fields, sender))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, request_id: str, fields: dict[str, Any], sender: pb_utils.InferenceResponseSender) -> None:
        match fields.get("task"):
            case "describe":
                send(sender, FINAL, type="models", models=self._cards)
                return
            case "loras":
                send(sender, FINAL, type="loras", loras=ADAPTERS)
                return
        prompt, frames, steps = fields["prompt"], fields["num_frames"], fields["num_inference_steps"]
        counts = {"type": "progress", "steps": steps, "frames": frames}
        if prompt.startswith("failed "):
            send(sender, **counts, steps_done=0, frames_done=0)
            send(sender, FINAL, type="failed", **json.loads(prompt.removeprefix("failed ")))
            return
        if prompt.startswith("error "):
            send(sender, **counts, steps_done=0, frames_done=0)
            error = pb_utils.TritonError(prompt.removeprefix("error "))
            sender.send(pb_utils.InferenceResponse(error=error), flags=FINAL)
            return
        if prompt == "short progress":
            send(sender, type="progress", steps_done=0)
        if prompt == "other event":
            send(sender, type="models", models=[])
        for step in range(steps + 1):
            send(sender, **counts, steps_done=step, frames_done=0)
            if prompt == "steady":
                await asyncio.sleep(0.3)
            if step == 1:
                if prompt == "die":
                    os.kill(os.getpid(), signal.SIGKILL)
                while prompt in ("silence", "slow"):
                    if sender.is_cancelled():
                        self._write(cancelled=request_id)
                        send(sender, FINAL, **counts, steps_done=step, frames_done=0)
                        return
                    await asyncio.sleep(0.05)
                    if prompt == "slow":
                        send(sender, **counts, steps_done=step, frames_done=0)
        for done in range(1, frames + 1, 4):
            count = 1 if done == 1 else 4
            first = 0 if done == 1 else done - 4
            chunk = np.stack(
                [np.full((fields["height"], fields["width"], 3), first + i, np.uint8) for i in range(count)]
            )
            last = done == frames
            flags = FINAL if last and prompt == "no report" else 0
            send(sender, flags, chunk, **counts, steps_done=steps, frames_done=done)
        report = {"model": fields["model"], "spec": used(fields), "timings": TIMINGS}
        if prompt == "bad report":
            report = {"model": fields["model"]}
        if prompt != "no report":
            send(sender, FINAL, type="done", **report)

    def _write(self, **entry: object) -> None:
        with self._log.open("a") as log:
            log.write(json.dumps(entry) + "\n")


def used(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in ("model", "image", "timeout_seconds")}


def send(
    sender: pb_utils.InferenceResponseSender, flags: int = 0, pixels: NDArray[np.uint8] | None = None, **event: object
) -> None:
    tensors = [pb_utils.Tensor("event", np.array([json.dumps(event).encode()], np.object_))]
    if pixels is not None:
        tensors.append(pb_utils.Tensor("frames", pixels))
    sender.send(pb_utils.InferenceResponse(tensors), flags=flags)
