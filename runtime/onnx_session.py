"""ONNX Runtime sessions, and calls of them whose tensors stay on the device."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnxruntime as ort
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernelError

_GPU, _CPU = "CUDAExecutionProvider", "CPUExecutionProvider"


def open_session(path: Path, threads: int) -> ort.InferenceSession:
    """Load a graph on the GPU where onnxruntime-gpu finds one, else on the CPU.

    Args:
        threads: intra-op threads; 0 takes one per core.

    Raises:
        ValueError: the graph is for GPUs, and this is not onnxruntime-gpu.
    """
    providers = [_GPU, _CPU] if has_gpu() else [_CPU]
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if not has_gpu():
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
    else:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(str(path), options, providers=providers)
    except NoKernelError as error:
        if has_gpu():
            raise
        raise ValueError(
            f"{path.parent.parent.name} was exported for GPUs, and ONNX Runtime cannot compute it on the CPU: export "
            "the checkpoint without --target onnx, or install onnxruntime-gpu in place of onnxruntime"
        ) from error


def has_gpu() -> bool:
    """Whether this is onnxruntime-gpu."""
    return _GPU in ort.get_available_providers()


def device_of(session: ort.InferenceSession) -> str:
    """Where the graph runs: `cuda` or `cpu`."""
    return "cuda" if _GPU in session.get_providers() else "cpu"


def call(
    session: ort.InferenceSession, inputs: Mapping[str, ort.OrtValue], outputs: Sequence[str]
) -> list[ort.OrtValue]:
    """Run a graph.

    Args:
        inputs: by name, on any device.

    Returns:
        those outputs, on the device that computed them.
    """
    binding = session.io_binding()
    for name, value in inputs.items():
        binding.bind_ortvalue_input(name, value)
    device = device_of(session)
    for name in outputs:
        binding.bind_output(name, device)
    session.run_with_iobinding(binding)
    results = list(binding.get_outputs())
    # each of the results keeps the binding, which must not keep everything else
    binding.clear_binding_inputs()
    binding.clear_binding_outputs()
    return results
