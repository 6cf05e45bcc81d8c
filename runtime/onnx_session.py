"""ONNX Runtime sessions, and calls of them whose tensors stay on the device."""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernelError

from protocol.placement import CPU, Device
from runtime.engine import EngineUnusable
from runtime.tensors import to_host

_GPU, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def open_session(
    path: Path, threads: int, device: Device = CPU, gpu_mem_limit: int | None = None
) -> ort.InferenceSession:
    """Load a graph.

    Args:
        threads: intra-op threads; 0 takes one per core.
        gpu_mem_limit: bytes that the graph's arena may take on a GPU; None for all that there is.

    Raises:
        ValueError: the graph is for GPUs, and this is the CPU.
        EngineUnusable: CUDA's libraries are missing on a GPU.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if device.is_gpu:
        return _open_on_gpu(path, options, device, gpu_mem_limit)
    # The arena keeps what the largest call took for ever, and takes up to three times what the call needs. So does
    # a plan that puts all tensors into one block.
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    # The default order puts off what nothing waits for, such as the caches, and keeps what it is made from.
    options.execution_order = ort.ExecutionOrder.PRIORITY_BASED
    # Waking sleeping threads for every operator costs more than the second thread brings; between calls nothing
    # spins, so that models that take turns on the cores do not slow each other.
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    options.add_session_config_entry("session.force_spinning_stop", "1")
    try:
        return ort.InferenceSession(str(path), options, providers=[_CPU])
    except NoKernelError as error:
        raise ValueError(
            f"{path.parent.parent.name} was exported for GPUs, and ONNX Runtime cannot compute it on the CPU: export "
            "the checkpoint without --target onnx, or install onnxruntime-gpu in place of onnxruntime"
        ) from error


def cuda_options(device: Device, gpu_mem_limit: int | None) -> dict[str, str]:
    """Of the CUDA provider."""
    options = {
        "device_id": str(device.index),
        # the other strategy doubles the arena with each extension, up to twice of what is needed
        "arena_extend_strategy": "kSameAsRequested",
        # the default tries all algorithms at each new shape, for many seconds with three-dimensional convolutions
        "cudnn_conv_algo_search": "HEURISTIC",
        # what is float32 is to be float32
        "use_tf32": "0",
    }
    return options if gpu_mem_limit is None else options | {"gpu_mem_limit": str(gpu_mem_limit)}


def device_of(session: ort.InferenceSession) -> Device:
    """Where the graph runs."""
    options: Mapping[str, Any] = session.get_provider_options().get(_GPU, {})
    return Device("cuda", int(options.get("device_id", 0))) if _GPU in session.get_providers() else CPU


def call(
    session: ort.InferenceSession, inputs: Mapping[str, ort.OrtValue], outputs: Sequence[str]
) -> list[ort.OrtValue]:
    """Run a graph.

    Args:
        inputs: by name, on any device; those on another are copied to that of the graph.

    Returns:
        those outputs, on the device that computed them.
    """
    binding = session.io_binding()
    device = device_of(session)
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value if device.is_gpu else to_host(value))
    for name in outputs:
        binding.bind_output(name, device.kind, device.index)
    session.run_with_iobinding(binding)
    results = list(binding.get_outputs())
    # each of the results keeps the binding, which must not keep everything else
    binding.clear_binding_inputs()
    binding.clear_binding_outputs()
    return results


def _open_on_gpu(
    path: Path, options: ort.SessionOptions, device: Device, gpu_mem_limit: int | None
) -> ort.InferenceSession:
    _load_cuda()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # the CPU's threads only wait
    providers = [(_GPU, cuda_options(device, gpu_mem_limit)), _CPU]
    session = ort.InferenceSession(str(path), options, providers=providers)
    if _GPU not in session.get_providers():  # ONNX Runtime goes on without it
        raise EngineUnusable(
            f"ONNX Runtime cannot use {device}: CUDA 13 or cuDNN 9 is missing; `pip install "
            "'onnxruntime-gpu[cuda,cudnn]'` brings them"
        )
    return session


@cache
def _load_cuda() -> None:
    """Find CUDA's libraries among Python's packages, where torch's wheel puts them, without importing torch."""
    ort.preload_dlls(cuda=True, cudnn=True, msvc=False)
