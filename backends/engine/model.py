"""Triton backend `engine`: runs the ONNX graphs of a model's version folder with ONNX Runtime.

`1/model.onnx` is run once a request; `generate` makes the batches. `1/bands.json` says how the graphs beside it, a VAE,
compute large frames in bands. One of videos is a streaming model: config.pbtxt gives it `sequence_batching`, and its
caches stay here from chunk to chunk.

config.pbtxt parameters (optional):
    threads: intra-op threads; 0, the default, takes one a core.
    adapter_cache_mib: how much of the adapters that requests name in their input `lora` stays loaded; 1024.
        They are files in the folder that the environment variable TRITONREEL_LORA_DIR says.
"""

from __future__ import annotations  # Triton makes its classes later than it imports this

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from pipelines.lora.folder import LORA_DIR_VARIABLE, LoraFolder
from protocol.heartbeat import Heartbeat
from runtime.onnx_engine import StreamingEngine, open_engine

START = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START
END = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        self._inputs = [tensor["name"] for tensor in config["input"]]
        root = os.environ.get(LORA_DIR_VARIABLE)
        self._engine = open_engine(
            Path(args["model_repository"], args["model_version"]),
            threads=_parameter(config, "threads", 0),
            loras=LoraFolder(Path(root) if root else None),
            adapter_cache_bytes=_parameter(config, "adapter_cache_mib", 1024) * 2**20,
        )
        self._idle_seconds = config.get("sequence_batching", {}).get("max_sequence_idle_microseconds", 0) / 1e6
        self._busy_family = pb_utils.MetricFamily(
            name="model_execution_seconds_total",
            description="Time spent in ONNX Runtime",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._busy = self._busy_family.Metric(labels={"model": args["model_name"]})
        self._heartbeat = Heartbeat()
        self._heartbeat.start()

    def finalize(self) -> None:
        self._heartbeat.stop()

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        if isinstance(self._engine, StreamingEngine):
            self._engine.forget_idle(self._idle_seconds)
        return [self._respond(request) for request in requests]

    def _respond(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self._inputs}
        inputs = {name: tensor.as_numpy() for name, tensor in tensors.items() if tensor is not None}
        started = time.perf_counter()
        try:
            outputs = self._run(inputs, request)
        except Exception as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        self._busy.increment(time.perf_counter() - started)
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse(
            [pb_utils.Tensor(name, np.ascontiguousarray(outputs[name])) for name in wanted]
        )

    def _run(self, inputs: dict[str, Any], request: pb_utils.InferenceRequest) -> dict[str, Any]:
        if isinstance(self._engine, StreamingEngine):
            flags = request.flags()
            return self._engine.run(inputs, request.correlation_id(), bool(flags & START), bool(flags & END))
        return self._engine.run(inputs)


def _parameter(config: dict[str, Any], name: str, default: int) -> int:
    return int(config["parameters"].get(name, {}).get("string_value", default))
