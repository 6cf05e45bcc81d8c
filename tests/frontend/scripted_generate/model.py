"""A Triton model that keeps the contract of `generate`, or breaks it, as the prompt says. Runs inside of Triton.

It appends what it gets to `log` in its folder, a JSON object a line.
"""

import asyncio
import json
import os
import signal
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils

FINAL = pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL
STRINGS = ("task", "model", "prompt", "negative_prompt", "solver", "lora")
NUMBERS = ("seed", "width", "height", "num_frames", "num_inference_steps", "timeout_seconds")
NUMBERS += ("guidance_scale", "guidance_scale_2", "true_cfg_scale", "flow_shift", "boundary_ratio")
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
    def initialize(self, args):
        self._log = Path(args["model_repository"], "log")
        self._cards = json.loads(Path(args["model_repository"], "cards.json").read_text())
        self._tasks = set()

    async def execute(self, requests):
        for request in requests:
            tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in STRINGS + NUMBERS}
            fields = {name: tensor.as_numpy()[0] for name, tensor in tensors.items() if tensor is not None}
            fields = {name: v.decode() if isinstance(v, bytes) else v.item() for name, v in fields.items()}
            if "lora" in fields:
                fields["lora"] = json.loads(fields["lora"])
            image = pb_utils.get_input_tensor_by_name(request, "image")
            if image is not None:
                fields["image"] = image.as_numpy().tolist()
            self._write(request_id=request.request_id(), fields=fields)
            sender = request.get_response_sender()
            task = asyncio.create_task(self._run(request.request_id(), fields, sender))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _run(self, request_id, fields, sender):
        if fields.get("task") == "describe":
            send(sender, flags=FINAL, info={"models": self._cards})
            return
        if fields.get("task") == "loras":
            send(sender, flags=FINAL, info={"loras": ADAPTERS})
            return
        prompt, frames, steps = fields["prompt"], fields["num_frames"], fields["num_inference_steps"]
        if prompt.startswith("error "):
            send(sender, progress=[0, steps, 0, frames])
            error = pb_utils.TritonError(prompt.removeprefix("error "))
            sender.send(pb_utils.InferenceResponse(error=error), flags=FINAL)
            return
        if prompt == "short progress":
            send(sender, progress=[0])
        for step in range(steps + 1):
            send(sender, progress=[step, steps, 0, frames])
            if step == 1:
                if prompt == "die":
                    os.kill(os.getpid(), signal.SIGKILL)
                while prompt in ("silence", "slow"):
                    if sender.is_cancelled():
                        self._write(cancelled=request_id)
                        send(sender, flags=FINAL, progress=[step, steps, 0, frames])
                        return
                    await asyncio.sleep(0.05)
                    if prompt == "slow":
                        send(sender, progress=[step, steps, 0, frames])
        for done in range(1, frames + 1, 4):
            count = 1 if done == 1 else 4
            first = 0 if done == 1 else done - 4
            chunk = np.stack(
                [np.full((fields["height"], fields["width"], 3), first + i, np.uint8) for i in range(count)]
            )
            last = done == frames
            info = {"model": fields["model"], "params": fields, "timings": TIMINGS} if last else None
            if last and prompt == "no report":
                info = None
            if last and prompt == "bad report":
                info = {"model": fields["model"]}
            send(sender, flags=FINAL if last else 0, frames=chunk, progress=[steps, steps, done, frames], info=info)

    def _write(self, **entry):
        with self._log.open("a") as log:
            log.write(json.dumps(entry) + "\n")


def send(sender, *, flags=0, progress=None, frames=None, info=None):
    tensors = []
    if progress is not None:
        tensors.append(pb_utils.Tensor("progress", np.array(progress, np.int32)))
    if frames is not None:
        tensors.append(pb_utils.Tensor("frames", frames))
    if info is not None:
        tensors.append(pb_utils.Tensor("info", np.array([json.dumps(info).encode()], np.object_)))
    sender.send(pb_utils.InferenceResponse(tensors), flags=flags)
