"""One TensorRT engine, loaded: it runs a graph on the GPU. **It has not been run yet**: see README.md."""

from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from functools import cache
from mmap import ACCESS_READ, mmap
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import torch

from runtime.engine import EngineUnusable
from runtime.engine_plan import EnginePlan, Shape
from runtime.gpu_memory import ALIGNMENT, GpuMemory
from runtime.tensorrt_library import LoadedLibrary, make_logger

if TYPE_CHECKING:
    import tensorrt

_KEPT_ERRORS = 4
_CACHE_SUFFIX = ".cache"
"""of what TensorRT for RTX has compiled for this GPU, beside the engine"""


class TensorRTGraph:
    """Runs one graph.

    Args:
        plan: says which sizes the engine takes.
        path: of the engine.
        memory: of the GPU that it runs on.
        streams_weights: of those that do not fit, some stay in host memory, and come with each call.
        weights_budget: bytes that they may take on the GPU then; None for what TensorRT chooses.

    Raises:
        EngineUnusable: the engine cannot be loaded.
    """

    def __init__(
        self,
        plan: EnginePlan,
        path: Path,
        library: LoadedLibrary,
        memory: GpuMemory,
        streams_weights: bool,
        weights_budget: int | None = None,
    ) -> None:
        trt = library.module
        self._plan = plan
        self._path = path
        self._memory = memory
        self._errors = errors_of(trt)
        with memory.turn():
            self._engine = self._load(trt)
            if streams_weights:
                self._engine.weight_streaming_budget_v2 = self._kept_weights(weights_budget)
            self._config = self._engine.create_runtime_config()
            self._config.set_execution_context_allocation_strategy(trt.ExecutionContextAllocationStrategy.USER_MANAGED)
            self._cache = _RuntimeCache.of(trt, self._config, path.with_name(path.name + _CACHE_SUFFIX))
            context = self._engine.create_execution_context(self._config)
        if context is None:
            raise EngineUnusable(f"{path} cannot be run: {self._said()}")
        self._context = context
        self._profile: int | None = None
        dtypes = _torch_dtypes(trt)
        names = [self._engine.get_tensor_name(number) for number in range(self._engine.num_io_tensors)]
        of_both = {name: dtypes[self._engine.get_tensor_dtype(name)] for name in names}
        is_input = {name: self._engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT for name in names}
        self.inputs: dict[str, torch.dtype] = {name: of_both[name] for name in names if is_input[name]}
        self.outputs: dict[str, torch.dtype] = {name: of_both[name] for name in names if not is_input[name]}
        # what may be left out is empty then: adapters, whose rank is 0
        self._absent = _empty_shapes(plan)
        # not null, which TensorRT takes for an address that was never set
        self._somewhere = memory.empty((ALIGNMENT,), torch.uint8)

    def shape(self, name: str) -> tuple[int, ...]:
        """Of an input; -1 for a size that varies."""
        return tuple(self._engine.get_tensor_shape(name))

    def run(self, feeds: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """All outputs, within a turn of the GPU.

        Args:
            feeds: on the GPU, contiguous, by the names of inputs. They must live until the turn is over.

        Raises:
            EngineUnusable: it was not built for inputs of these sizes.
            TypeError: an input is of another dtype.
            ValueError: there is no such input, or one is missing.
            RuntimeError: it cannot be run; the text has what TensorRT says.
        """
        self._check(feeds)
        shapes = self._absent | {name: tuple(tensor.shape) for name, tensor in feeds.items()}
        profile = self._plan.choose(shapes)
        self._errors.clear()
        if profile != self._profile:
            self._profile = None
            self._require(self._context.set_optimization_profile_async(profile, self._memory.stream), "take a profile")
            self._profile = profile
        for name in self.inputs:
            self._require(self._context.set_input_shape(name, shapes[name]), f"take {name} of {shapes[name]}")
            self._bind(name, feeds.get(name))
        self._require(not self._context.infer_shapes(), "tell the sizes of its outputs")
        size = self._context.update_device_memory_size_for_shapes()
        self._context.set_device_memory(self._memory.activations(max(size, ALIGNMENT)), max(size, ALIGNMENT))
        results = {}
        for name, dtype in self.outputs.items():
            results[name] = self._memory.empty(tuple(self._context.get_tensor_shape(name)), dtype)
            self._bind(name, results[name])
        self._require(self._context.execute_async_v3(self._memory.stream), "compute")
        if self._cache is not None:
            self._cache.save_after(profile, shapes)
        return results

    def _load(self, trt: ModuleType) -> "tensorrt.ICudaEngine":
        self._errors.clear()
        engine: tensorrt.ICudaEngine | None
        try:
            with self._path.open("rb") as file:
                # its pages are the file's, and need no memory of their own
                engine = runtime_of(trt).deserialize_cuda_engine(mmap(file.fileno(), 0, access=ACCESS_READ))
        except (OSError, RuntimeError, ValueError) as error:  # of the bindings, or of an empty file
            raise EngineUnusable(f"{self._path} cannot be loaded: {error}") from None
        if engine is None:
            raise EngineUnusable(f"{self._path} cannot be loaded: {self._said()}")
        return engine

    def _kept_weights(self, budget: int | None) -> int:
        """Bytes, of those that can be streamed: what of the budget the others leave, and no more than is free."""
        free: int = self._engine.get_weight_streaming_automatic_budget()
        if budget is None:
            return free
        streamable: int = self._engine.streamable_weights_size
        others = max(0, self._path.stat().st_size - streamable)
        return max(0, min(free, streamable, budget - others))

    def _check(self, feeds: Mapping[str, torch.Tensor]) -> None:
        if unknown := feeds.keys() - self.inputs.keys():
            raise ValueError(f"{self._path.name} has no input {', '.join(sorted(unknown))}")
        if missing := self.inputs.keys() - feeds.keys() - self._absent.keys():
            raise ValueError(f"{self._path.name} needs the input {', '.join(sorted(missing))}")
        for name, tensor in feeds.items():
            if tensor.dtype != self.inputs[name]:
                raise TypeError(f"{self._path.name}: {name} must be {self.inputs[name]}, not {tensor.dtype}")

    def _bind(self, name: str, tensor: torch.Tensor | None) -> None:
        is_empty = tensor is None or tensor.numel() == 0
        address = self._somewhere.data_ptr() if is_empty or tensor is None else tensor.data_ptr()
        self._require(self._context.set_tensor_address(name, address), f"take {name} where it is")

    def _require(self, is_done: bool, what: str) -> None:
        if not is_done:
            raise RuntimeError(f"{self._path.name} cannot {what}: {self._said()}")

    def _said(self) -> str:
        return "; ".join(dict.fromkeys(self._errors)) or "TensorRT does not say why"


class _RuntimeCache:
    """What TensorRT for RTX compiles when an engine first meets a size, kept beside the engine for the next start."""

    def __init__(self, cache: "tensorrt.IRuntimeCache", file: Path) -> None:
        self._cache = cache
        self._file = file
        self._met: set[tuple[int, tuple[tuple[str, Shape], ...]]] = set()

    @classmethod
    def of(cls, trt: ModuleType, config: "tensorrt.IRuntimeConfig", file: Path) -> "_RuntimeCache | None":
        """That of an engine; None with full TensorRT, whose engines are compiled already."""
        if not hasattr(config, "create_runtime_cache"):
            return None
        # lazily it would compile beside the first calls, and nobody would hear when there is more to keep
        config.dynamic_shapes_kernel_specialization_strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        cache = config.create_runtime_cache()
        with suppress(OSError):  # none yet
            cache.deserialize(file.read_bytes())  # one of another GPU, driver or release is left alone
        config.set_runtime_cache(cache)
        return cls(cache, file)

    def save_after(self, profile: int, shapes: Mapping[str, Shape]) -> None:
        """Write it where a call was the first of its sizes."""
        met = (profile, tuple(sorted(shapes.items())))
        if met in self._met:
            return
        self._met.add(met)
        unfinished = self._file.with_name(f".{self._file.name}.part")
        with suppress(OSError):  # a repository that cannot be written to costs a compilation at each start
            unfinished.write_bytes(memoryview(self._cache.serialize()))
            unfinished.replace(self._file)


@cache
def errors_of(trt: ModuleType) -> deque[str]:
    """The last errors that a library has logged, of all engines: it takes one logger per process."""
    return deque(maxlen=_KEPT_ERRORS)


@cache
def runtime_of(trt: ModuleType) -> "tensorrt.Runtime":
    """Loads all engines of the process."""
    runtime: tensorrt.Runtime = trt.Runtime(make_logger(trt, errors_of(trt).append))
    return runtime


def _torch_dtypes(trt: ModuleType) -> "dict[tensorrt.DataType, torch.dtype]":
    kinds = trt.DataType
    return {
        kinds.FLOAT: torch.float32,
        kinds.HALF: torch.float16,
        kinds.BF16: torch.bfloat16,
        kinds.INT32: torch.int32,
        kinds.INT64: torch.int64,
        kinds.BOOL: torch.bool,
    }


def _empty_shapes(plan: EnginePlan) -> dict[str, Shape]:
    """Of the inputs that may hold nothing."""
    smallest: Iterable[tuple[str, Shape]] = (item for profile in plan.profiles for item in profile.least.items())
    return {name: shape for name, shape in smallest if 0 in shape}
