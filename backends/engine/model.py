"""Triton backend `engine`: runs the ONNX graphs of a model's version folder with ONNX Runtime.

`1/model.onnx` is run once a request; `generate` makes the batches. `1/first.onnx` and `next.onnx` are
a streaming model: config.pbtxt gives it `sequence_batching`, and its caches stay here from chunk to chunk.

config.pbtxt parameters (optional):
    threads: intra-op threads; 0, the default, takes one a core.
"""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils

from pipelines.onnx_engine import StreamingEngine, open_engine

START = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START
END = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        threads = int(config["parameters"].get("threads", {}).get("string_value", "0"))
        self._inputs = [tensor["name"] for tensor in config["input"]]
        self._engine = open_engine(Path(args["model_repository"], args["model_version"]), threads)
        self._idle_seconds = config.get("sequence_batching", {}).get("max_sequence_idle_microseconds", 0) / 1e6
        self._busy_family = pb_utils.MetricFamily(
            name="model_execution_seconds_total",
            description="Time spent in ONNX Runtime",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._busy = self._busy_family.Metric(labels={"model": args["model_name"]})

    def execute(self, requests: list[Any]) -> list[Any]:
        if isinstance(self._engine, StreamingEngine):
            self._engine.forget_idle(self._idle_seconds)
        return [self._respond(request) for request in requests]

    def _respond(self, request: Any) -> Any:
        inputs = {name: pb_utils.get_input_tensor_by_name(request, name).as_numpy() for name in self._inputs}
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

    def _run(self, inputs: dict[str, Any], request: Any) -> dict[str, Any]:
        if isinstance(self._engine, StreamingEngine):
            flags = request.flags()
            return self._engine.run(inputs, request.correlation_id(), bool(flags & START), bool(flags & END))
        return self._engine.run(inputs)
