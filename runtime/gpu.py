"""The GPUs of this machine, as their driver tells of them, and what of their memory is not for tensors."""

import ctypes
from dataclasses import dataclass

from runtime.engine import EngineUnusable

# estimates: they have not been measured on a GPU yet
CONTEXT_BYTES = 512 * 2**20
"""of a process that uses the GPU: its CUDA context and the libraries' kernels"""
WORKSPACE_BYTES = 512 * 2**20
"""of cuBLAS, cuDNN and attention kernels in the model that computes"""
MARGIN = 0.25
"""of what is computed, for what allocators round up and leave between tensors"""

_DRIVER = "libcuda.so.1"
_LEAST_CUDA = 13
"""major version that onnxruntime-gpu and TensorRT are built for; any later driver runs it"""
_LEAST_DRIVER = "580"
_NO_DEVICE = 100
_CAPABILITY_MAJOR, _CAPABILITY_MINOR = 75, 76
"""of `CUdevice_attribute`"""
_NAME_BYTES = 256


@dataclass(frozen=True)
class Gpu:
    index: int
    name: str
    capability: str
    """compute capability, such as "8.9" """
    memory_bytes: int


def find_gpu(index: int = 0) -> Gpu:
    """The GPU of that number, as CUDA counts those that this process may use.

    Raises:
        EngineUnusable: there is none, or its driver is missing or too old.
    """
    return _Driver().gpu(index)


class _Driver:
    """The driver's own library: asking it needs neither torch nor CUDA's runtime."""

    def __init__(self) -> None:
        try:
            self._cuda = ctypes.CDLL(_DRIVER)
        except OSError as error:
            raise EngineUnusable(f"there is no NVIDIA driver here ({error}): models can run on the CPU only") from None
        self._check_version()
        self._initialise()

    def gpu(self, index: int) -> Gpu:
        count = ctypes.c_int()
        self._call("cuDeviceGetCount", ctypes.byref(count))
        if index >= count.value:
            raise EngineUnusable(f"there is no GPU cuda:{index} here: {_counted(count.value)}")
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), index)
        name = ctypes.create_string_buffer(_NAME_BYTES)
        self._call("cuDeviceGetName", name, _NAME_BYTES, device)
        memory = ctypes.c_size_t()
        self._call("cuDeviceTotalMem_v2", ctypes.byref(memory), device)
        major, minor = (self._attribute(which, device) for which in (_CAPABILITY_MAJOR, _CAPABILITY_MINOR))
        return Gpu(index, name.value.decode(errors="replace"), f"{major}.{minor}", memory.value)

    def _check_version(self) -> None:
        version = ctypes.c_int()
        self._call("cuDriverGetVersion", ctypes.byref(version))
        major, minor = version.value // 1000, version.value % 1000 // 10
        if major < _LEAST_CUDA:
            raise EngineUnusable(
                f"the NVIDIA driver here is for CUDA {major}.{minor}, and CUDA {_LEAST_CUDA}.0 is needed: install "
                f"driver {_LEAST_DRIVER} or later"
            )

    def _initialise(self) -> None:
        result = self._cuda.cuInit(0)
        if result == _NO_DEVICE:
            raise EngineUnusable(f"there is no GPU that CUDA can use here: {_counted(0)}")
        if result:
            raise EngineUnusable(f"the NVIDIA driver here does not start (cuInit: {result}): see `nvidia-smi`")

    def _attribute(self, which: int, device: ctypes.c_int) -> int:
        value = ctypes.c_int()
        self._call("cuDeviceGetAttribute", ctypes.byref(value), which, device)
        return value.value

    def _call(self, function: str, *arguments: object) -> None:
        result = getattr(self._cuda, function)(*arguments)
        if result:
            raise EngineUnusable(f"the NVIDIA driver here fails ({function}: {result}): see `nvidia-smi`")


def _counted(gpus: int) -> str:
    return f"{gpus} GPU{'s' * (gpus != 1)} can be used"
