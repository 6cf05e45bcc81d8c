"""A text encoder whose first call fails and whose second answers without its output. Runs inside of Triton."""

from __future__ import annotations  # Triton makes its classes later than it imports this

from pathlib import Path

import triton_python_backend_utils as pb_utils

from runtime.onnx_engine import open_engine

OUTPUT = "last_hidden_state"


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._engine = open_engine(Path(args["model_repository"], args["model_version"]))
        self._calls = 0

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        return [self._respond(request) for request in requests]

    def _respond(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        self._calls += 1
        if self._calls == 1:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError("it failed"))
        if self._calls == 2:
            return pb_utils.InferenceResponse([])
        outputs = self._engine.run({tensor.name(): tensor for tensor in request.inputs()})
        return pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack(OUTPUT, outputs[OUTPUT])])
