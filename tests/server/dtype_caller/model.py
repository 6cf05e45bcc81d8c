"""A Triton model that calls others in the dtype that it is told, as `generate` does. Runs inside of Triton."""

from __future__ import annotations  # Triton makes its classes later than it imports this

import json

import numpy as np
import torch
import triton_python_backend_utils as pb_utils

from pipelines.ensemble.bls import BlsRunner


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        self._runner = BlsRunner()

    async def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        return [await self._respond(request) for request in requests]

    async def _respond(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        call = pb_utils.get_input_tensor_by_name(request, "call")
        assert call is not None
        model, dtype = call.as_numpy()
        x = torch.tensor([[1.0, 2.5, -3.25]], dtype=getattr(torch, dtype.decode()))
        answers = []
        for rows in (x, x.expand(2, 3), torch.stack([x, x], dim=2)[..., 1], x[:0]):
            y = await self._runner.infer(model.decode(), {"x": rows}, "y")
            answers.append({"dtype": str(y.dtype), "device": str(y.device), "values": y.float().tolist()})
        report = np.array([json.dumps(answers).encode()], np.object_)
        return pb_utils.InferenceResponse([pb_utils.Tensor("report", report)])
