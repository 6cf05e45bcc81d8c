"""A Triton model that keeps the contract of `generate`, or breaks it, as the prompt says. Runs inside of Triton.

It appends what it gets to `log` in its folder, a JSON object per line.
"""

from __future__ import annotations  # Triton makes its classes later than it imports this

import asyncio
import hashlib
import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils
from numpy.typing import NDArray

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
OPTIONS = ("timeout_seconds", "checkpoint_seconds", "previews", "preview_seconds")
INPUTS = ("task", "model", "prompt", "sampling_parameters", *OPTIONS)
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
        self._release = Path(args["model_repository"], "release")
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
            resume = pb_utils.get_input_tensor_by_name(request, "resume")
            state = State.start(fields) if resume is None else State.read(resume.as_numpy().tobytes())
            self._write(request_id=request.request_id(), fields=fields, resumed=state.step)
            sender = request.get_response_sender()
            task = asyncio.create_task(self._run(request.request_id(), fields, state, sender))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(
        self, request_id: str, fields: dict[str, Any], state: State, sender: pb_utils.InferenceResponseSender
    ) -> None:
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
        for step in range(state.step, steps + 1):
            if step > state.step:
                if prompt.startswith("evaluated in "):
                    await evaluate(float(prompt.removeprefix("evaluated in ")))
                state = state.next()
                self._write(stepped=request_id)
            send(sender, **counts, steps_done=step, frames_done=0)
            if fields.get("checkpoint_seconds") and step > 0:
                send_checkpoint(sender, state)
            if (fields.get("previews") or fields.get("preview_seconds")) and step > 0:
                send_preview(sender, step, steps, with_pixels=prompt != "preview without pixels")
            if prompt == "steady":
                await asyncio.sleep(0.3)
            if prompt == f"held at {step}":
                while not self._release.exists():
                    await asyncio.sleep(0.05)
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
                [
                    np.full((fields["height"], fields["width"], 3), state.shade + first + i, np.uint8)
                    for i in range(count)
                ]
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


@dataclass(frozen=True)
class State:
    """Stands for latents: what comes of the steps until now, from which alone the frames are made."""

    step: int
    digest: str

    @classmethod
    def start(cls, fields: dict[str, Any]) -> State:
        return cls(0, str(fields.get("seed")))

    @classmethod
    def read(cls, content: bytes) -> State:
        return cls(**json.loads(content))

    def next(self) -> State:
        return State(self.step + 1, hashlib.sha256(f"{self.digest} {self.step}".encode()).hexdigest())

    @property
    def shade(self) -> int:
        """Of the first frame; 0 before the first step, and only as dark as frames stay distinct."""
        return int(self.digest[:2], 16) % 200 if self.step > 2 else 0


async def evaluate(seconds: float) -> None:
    """One call of the model that stands for a transformer, which takes so long."""
    x = pb_utils.Tensor("x", np.array([seconds], np.float32))
    await pb_utils.InferenceRequest(model_name="leaf", requested_output_names=["y"], inputs=[x]).async_exec()


def send_checkpoint(sender: pb_utils.InferenceResponseSender, state: State) -> None:
    content = np.frombuffer(json.dumps(asdict(state)).encode(), np.uint8)
    for start, part in ((0, content[:10]), (10, content[10:])):
        event = {"type": "checkpoint", "steps_done": state.step, "start": start, "bytes": len(content)}
        tensors = [pb_utils.Tensor("event", np.array([json.dumps(event).encode()], np.object_))]
        sender.send(pb_utils.InferenceResponse([*tensors, pb_utils.Tensor("checkpoint", part)]))


def send_preview(sender: pb_utils.InferenceResponseSender, step: int, steps: int, with_pixels: bool) -> None:
    event = {"type": "preview", "steps_done": step, "steps": steps}
    tensors = [pb_utils.Tensor("event", np.array([json.dumps(event).encode()], np.object_))]
    if with_pixels:
        tensors.append(pb_utils.Tensor("preview", np.full((2, 3, 3), step, np.uint8)))
    sender.send(pb_utils.InferenceResponse(tensors))


def used(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in ("model", "image", *OPTIONS)}


def send(
    sender: pb_utils.InferenceResponseSender, flags: int = 0, pixels: NDArray[np.uint8] | None = None, **event: object
) -> None:
    tensors = [pb_utils.Tensor("event", np.array([json.dumps(event).encode()], np.object_))]
    if pixels is not None:
        tensors.append(pb_utils.Tensor("frames", pixels))
    sender.send(pb_utils.InferenceResponse(tensors), flags=flags)
