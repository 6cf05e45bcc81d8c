"""Triton backend `engine`: runs the graphs of a model's version folder; tensors go in and out as they are, by DLPack.

`1/model.onnx` is run once per request; `generate` makes the batches. `1/bands.json` says how the graphs beside it, a
VAE, compute large frames in bands. One of videos is a streaming model: config.pbtxt gives it `sequence_batching`, and
its caches stay here from chunk to chunk.

config.pbtxt parameters (optional):
    engine: `onnxruntime`, `tensorrt`, or `auto`, the default: TensorRT where `1/plan.json` has engines that fit this
        machine, else ONNX Runtime. The environment variable TRITONREEL_ENGINE overrides it.
    device: `cpu`, `cuda:0`, ..., or `auto`, the default: the first GPU where ONNX Runtime or TensorRT can use one.
        TRITONREEL_DEVICE overrides it. The instance's kind says nothing about it, and stays KIND_CPU;
        FORCE_CPU_ONLY_INPUT_TENSORS must be "no", without which Triton copies what is on a GPU to the host.
    threads: intra-op threads of ONNX Runtime on the CPU; 0, the default, takes one per core.
    gpu_mem_limit_mib: what each graph's arena of ONNX Runtime may take on a GPU; 0, the default, for all that there is.
    band_mib: what a VAE's frame may take that is not cut into bands; 0, the default, for what is fastest: on a GPU no
        frame is cut.
    adapter_cache_mib: how much of the adapters that requests name in their input `lora` stays loaded; 1024.
        They are files in the folder that the environment variable TRITONREEL_LORA_DIR says.
"""

from __future__ import annotations  # Triton makes its classes later than it imports this

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import triton_python_backend_utils as pb_utils

from protocol.heartbeat import Heartbeat
from protocol.placement import AUTO, DEVICE_VARIABLE, ENGINE_VARIABLE, WEIGHTS_BUDGET_VARIABLE
from runtime.engine import Chunk, Engine, EngineUnusable, Inputs
from runtime.onnx_engine import open_engine

if TYPE_CHECKING:
    from pipelines.lora.folder import LoraFolder

START = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_START
END = pb_utils.TRITONSERVER_REQUEST_FLAG_SEQUENCE_END


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        config = json.loads(args["model_config"])
        self._dtypes = {tensor["name"]: tensor["data_type"] for tensor in config["input"]}
        self._is_stateful = "sequence_batching" in config
        self._engine = _open(Path(args["model_repository"], args["model_version"]), config)
        self._idle_seconds = config.get("sequence_batching", {}).get("max_sequence_idle_microseconds", 0) / 1e6
        self._busy_family = pb_utils.MetricFamily(
            name="model_execution_seconds_total",
            description="Time spent in the model's engine",
            kind=pb_utils.MetricFamily.COUNTER,
        )
        self._busy = self._busy_family.Metric(labels={"model": args["model_name"]})
        self._heartbeat = Heartbeat()
        self._heartbeat.start()

    def finalize(self) -> None:
        self._heartbeat.stop()

    def execute(self, requests: list[pb_utils.InferenceRequest]) -> list[pb_utils.InferenceResponse]:
        self._engine.forget_idle(self._idle_seconds)
        return [self._respond(request) for request in requests]

    def _respond(self, request: pb_utils.InferenceRequest) -> pb_utils.InferenceResponse:
        started = time.perf_counter()
        try:
            outputs = self._engine.run(self._read(request), self._chunk(request))
        except Exception as error:
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))
        self._busy.increment(time.perf_counter() - started)
        wanted = request.requested_output_names()
        return pb_utils.InferenceResponse([pb_utils.Tensor.from_dlpack(name, outputs[name]) for name in wanted])

    def _read(self, request: pb_utils.InferenceRequest) -> Inputs:
        tensors = {name: pb_utils.get_input_tensor_by_name(request, name) for name in self._dtypes}
        return {
            name: tensor.as_numpy().item().decode() if self._dtypes[name] == "TYPE_STRING" else tensor
            for name, tensor in tensors.items()
            if tensor is not None
        }

    def _chunk(self, request: pb_utils.InferenceRequest) -> Chunk | None:
        if not self._is_stateful:
            return None
        flags = request.flags()
        return Chunk(request.correlation_id(), start=bool(flags & START), end=bool(flags & END))


def _open(folder: Path, config: dict[str, Any]) -> Engine:
    try:
        return open_engine(
            folder,
            threads=_parameter(config, "threads", 0),
            loras=_loras,
            adapter_cache_bytes=_parameter(config, "adapter_cache_mib", 1024) * 2**20,
            engine=os.environ.get(ENGINE_VARIABLE) or _word(config, "engine", AUTO),
            device=os.environ.get(DEVICE_VARIABLE) or _word(config, "device", AUTO),
            gpu_mem_limit=_parameter(config, "gpu_mem_limit_mib", 0) * 2**20 or None,
            band_bytes=_parameter(config, "band_mib", 0) * 2**20 or None,
            weights_budget=int(os.environ.get(WEIGHTS_BUDGET_VARIABLE) or 0) or None,
            say=pb_utils.Logger.log_warn,
        )
    except EngineUnusable as error:  # a sentence for people, without where in the code it comes from
        raise pb_utils.TritonModelException(str(error)) from None


def _loras() -> LoraFolder:
    from pipelines.lora.folder import LORA_DIR_VARIABLE, LoraFolder  # takes a third of the time in which a model loads

    root = os.environ.get(LORA_DIR_VARIABLE)
    return LoraFolder(Path(root) if root else None)


def _parameter(config: dict[str, Any], name: str, default: int) -> int:
    return int(_word(config, name, str(default)))


def _word(config: dict[str, Any], name: str, default: str) -> str:
    value: str = config["parameters"].get(name, {}).get("string_value", default)
    return value
