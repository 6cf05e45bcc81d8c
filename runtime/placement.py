"""Which engine a model runs on, and on which device, given what was asked for and what this machine has."""

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from protocol.placement import CPU, Device, EngineName
from runtime.engine import PLAN_FILE, EngineUnusable
from runtime.gpu import Gpu, find_gpu
from runtime.tensorrt_library import LibraryName, LoadedLibrary, how_to_install, is_installed, load

if TYPE_CHECKING:
    from runtime.engine_plan import EnginePlans

_CUDA_PROVIDER = "CUDAExecutionProvider"
_CPU_BUILD = "+cpu"
"""in the version of torch"""
_GRAPHS = "whole_*.onnx"
"""of a VAE, each of which has an engine; the other models have one graph"""


@dataclass(frozen=True)
class Placement:
    """Where a model runs."""

    device: Device
    tensorrt: "TensorRTFiles | None" = None
    """None: with ONNX Runtime"""
    remark: str | None = None
    """why it is not what the files beside the graph are for"""


@dataclass(frozen=True)
class TensorRTFiles:
    """Engines that fit this machine, and the library that runs them."""

    plans: "EnginePlans"
    library: LoadedLibrary


def choose(folder: Path, engine: EngineName, device: Device | None) -> Placement:
    """For the files in a version folder.

    Args:
        device: None for the first GPU that can be used, else the CPU.

    Raises:
        EngineUnusable: what was asked for cannot be had; the text says what to do.
    """
    if engine is EngineName.TENSORRT:
        return _with_tensorrt(folder, device)
    remark = None
    if engine is EngineName.AUTO and (folder / PLAN_FILE).exists() and device != CPU:
        try:
            return _with_tensorrt(folder, device)
        except EngineUnusable as error:
            remark = f"not on TensorRT: {error}"
    return Placement(onnx_device(device), remark=remark)


def onnx_device(device: Device | None) -> Device:
    """Where ONNX Runtime runs.

    Raises:
        EngineUnusable: not on the GPU that was asked for.
    """
    if device == CPU:
        return CPU
    if device is not None:
        if not has_cuda_provider():
            raise EngineUnusable(
                f"ONNX Runtime here runs on the CPU only: install onnxruntime-gpu in place of onnxruntime for {device}"
            )
        _check_gpu(device)
        return device
    return Device("cuda") if has_cuda_provider() and _has_gpu() else CPU


def sampling_device(device: Device | None) -> Device:
    """Where latents stay between the calls of models: on the GPU where those run.

    Raises:
        EngineUnusable: not on the GPU that was asked for.
    """
    if device is not None:
        if device.is_gpu:
            _check_gpu(device)
        return device
    # in this order: where there is no GPU, none of the libraries is loaded
    return Device("cuda") if _has_gpu() and (has_cuda_provider() or _has_tensorrt()) else CPU


def check_tensorrt(device: Device | None) -> None:
    """Whether TensorRT could run any engine here, without loading it.

    Raises:
        EngineUnusable: a GPU or its driver, torch's CUDA build, or the library is missing.
    """
    _tensorrt_gpu(device)
    if not any(map(is_installed, LibraryName)):
        ways = " or ".join(map(how_to_install, LibraryName))
        raise EngineUnusable(f"neither {' nor '.join(LibraryName)} is installed: {ways}")


def has_cuda_provider() -> bool:
    """Whether this is onnxruntime-gpu."""
    import onnxruntime as ort

    return _CUDA_PROVIDER in ort.get_available_providers()


def _with_tensorrt(folder: Path, device: Device | None) -> Placement:
    from runtime.engine_plan import EnginePlans  # the other models load sooner without pydantic

    wanted, gpu = _tensorrt_gpu(device)
    plans = EnginePlans.read(folder)
    if plans.library not in list(LibraryName):
        raise EngineUnusable(f"{folder / PLAN_FILE}: there is no library {plans.library!r}: build the engines again")
    library = load(LibraryName(plans.library))
    plans.check(library.name, library.version, gpu.capability)
    built = {one.graph: one.engine for one in plans.engines if (folder / one.engine).is_file()}
    graphs = [*(one.graph for one in plans.engines), *(path.name for path in folder.glob(_GRAPHS))]
    if missing := sorted(set(graphs) - built.keys()):
        raise EngineUnusable(f"{folder} has no engine of {missing[0]}: build it with `python -m export.engines`")
    return Placement(wanted, TensorRTFiles(plans, library))


def _tensorrt_gpu(device: Device | None) -> tuple[Device, Gpu]:
    if device == CPU:
        raise EngineUnusable("TensorRT runs on GPUs only: ask for the device auto or cuda:N, or for another engine")
    wanted = device or Device("cuda")
    return wanted, _check_gpu(wanted)


def _check_gpu(device: Device) -> Gpu:
    """The GPU that sampling can use as well, which is torch's."""
    gpu = find_gpu(device.index)
    if _CPU_BUILD in version("torch"):
        raise EngineUnusable(
            f"torch here is its build for the CPU, and sampling needs the other one on {device}: `pip install torch` "
            "from PyPI, or from https://download.pytorch.org/whl/cu130"
        )
    return gpu


def _has_gpu() -> bool:
    try:
        _check_gpu(Device("cuda"))
    except EngineUnusable:
        return False
    return True


def _has_tensorrt() -> bool:
    for name in LibraryName:
        try:
            load(name)
        except EngineUnusable:
            continue
        return True
    return False
