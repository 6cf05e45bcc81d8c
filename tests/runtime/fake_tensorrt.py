"""TensorRT's runtime as far as engines use it, where the real one needs a GPU: it computes on the host, from the
addresses that it is given, and writes down how it was called.

Its engines add 1 to their first input, and for each pair of adapters the rank that they have; a cache that goes in
comes out with what it was, plus 10.
"""

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from math import prod
from mmap import mmap
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

__version__ = "1.2.3"

Shape = tuple[int, ...]


class DataType(Enum):
    FLOAT, HALF, BF16, INT32, INT64, BOOL = range(6)


class TensorIOMode(Enum):
    INPUT, OUTPUT = range(2)


class ExecutionContextAllocationStrategy(Enum):
    STATIC, USER_MANAGED = range(2)


class DynamicShapesKernelSpecializationStrategy(Enum):
    LAZY, EAGER = range(2)


class ILogger:
    def __init__(self) -> None:
        pass

    def log(self, severity: int, msg: str) -> None:
        raise NotImplementedError


@dataclass
class Plan:
    """What a plan file stands for here."""

    inputs: Mapping[str, Shape]
    """-1 for what varies"""
    outputs: Sequence[str]
    activation_bytes: int = 1000
    refuses: str | None = None
    """what is logged when it is to compute"""


@dataclass
class Cache:
    content: bytes = b""

    def serialize(self) -> bytes:
        return self.content

    def deserialize(self, blob: bytes) -> bool:
        self.content = blob
        return True


@dataclass
class Config:
    strategy: ExecutionContextAllocationStrategy | None = None
    cache: Cache | None = None
    dynamic_shapes_kernel_specialization_strategy: DynamicShapesKernelSpecializationStrategy | None = None

    def set_execution_context_allocation_strategy(self, strategy: ExecutionContextAllocationStrategy) -> None:
        self.strategy = strategy

    def create_runtime_cache(self) -> Cache:
        return Cache()

    def set_runtime_cache(self, cache: Cache) -> bool:
        self.cache = cache
        return True


@dataclass
class Context:
    plan: Plan
    config: Config
    logger: ILogger
    calls: list[str] = field(default_factory=list)
    """in order, of what matters: profile, memory, compute"""
    shapes: dict[str, Shape] = field(default_factory=dict)
    addresses: dict[str, int] = field(default_factory=dict)
    memory: tuple[int, int] = (0, 0)

    def set_optimization_profile_async(self, profile_index: int, stream_handle: int) -> bool:
        self.calls.append(f"profile {profile_index}")
        return True

    def set_input_shape(self, name: str, shape: Shape) -> bool:
        known = self.plan.inputs[name]
        self.shapes[name] = shape
        return len(shape) == len(known) and all(want in (-1, size) for want, size in zip(known, shape, strict=True))

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self.addresses[name] = memory
        return memory != 0

    def infer_shapes(self) -> list[str]:
        return [name for name in self.plan.inputs if name not in self.shapes]

    def get_tensor_shape(self, name: str) -> list[int]:
        return list(self.shapes[self._source(name)])

    def update_device_memory_size_for_shapes(self) -> int:
        return self.plan.activation_bytes

    def set_device_memory(self, memory: int, size: int) -> None:
        self.memory = (memory, size)
        self.calls.append("memory")

    def execute_async_v3(self, stream_handle: int) -> bool:
        self.calls.append(f"compute on {stream_handle}")
        if self.plan.refuses:
            self.logger.log(1, self.plan.refuses)
            return False
        ranks = sum(shape[1] for name, shape in self.shapes.items() if name.endswith(".lora_A") and self._acts(name))
        for name in self.plan.outputs:
            source = self._source(name)
            values = self._array(source)
            self._array(name)[:] = values + (10 if "cache" in source else 1 + ranks)
        return True

    def _acts(self, name: str) -> bool:
        return self.shapes[name][1] > 0 and bool(self._array(name).any())

    def _source(self, output: str) -> str:
        """The input that an output is made of."""
        cache = output.replace("_out_", "_in_")
        return cache if cache in self.plan.inputs else next(iter(self.plan.inputs))

    def _array(self, name: str) -> NDArray[np.float32]:
        """float32, at the address of a tensor."""
        shape = self.get_tensor_shape(name) if name in self.plan.outputs else self.shapes[name]
        buffer = (ctypes.c_float * prod(shape)).from_address(self.addresses[name])
        array: NDArray[np.float32] = np.ctypeslib.as_array(buffer).reshape(shape)
        return array


@dataclass
class Engine:
    plan: Plan
    logger: ILogger
    weight_streaming_budget_v2: int | None = None
    streamable_weights_size: int = 10_000
    contexts: list[Context] = field(default_factory=list)

    @property
    def num_io_tensors(self) -> int:
        return len(self.plan.inputs) + len(self.plan.outputs)

    def get_tensor_name(self, index: int) -> str:
        return [*self.plan.inputs, *self.plan.outputs][index]

    def get_tensor_mode(self, name: str) -> TensorIOMode:
        return TensorIOMode.INPUT if name in self.plan.inputs else TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name: str) -> DataType:
        return DataType.FLOAT

    def get_tensor_shape(self, name: str) -> list[int]:
        return list(self.plan.inputs[name])

    def get_weight_streaming_automatic_budget(self) -> int:
        return 12345

    def create_runtime_config(self) -> Config:
        return Config()

    def create_execution_context(self, runtime_config: Config) -> Context:
        self.contexts.append(Context(self.plan, runtime_config, self.logger))
        return self.contexts[-1]


class Runtime:
    """Args: logger: hears of what cannot be loaded."""

    plans: ClassVar[dict[bytes, Plan]] = {}
    """by the content of the file"""
    engines: ClassVar[dict[bytes, Engine]] = {}

    def __init__(self, logger: ILogger) -> None:
        self._logger = logger

    def deserialize_cuda_engine(self, serialized_engine: mmap) -> Engine | None:
        content = bytes(serialized_engine)
        if content not in self.plans:
            self._logger.log(1, "the magic tag does not match")
            return None
        self.engines[content] = Engine(self.plans[content], self._logger)
        return self.engines[content]


def store(path: Path, plan: Plan) -> None:
    """Write a plan file that `Runtime` loads as that."""
    content = str(path).encode()
    path.write_bytes(content)
    Runtime.plans[content] = plan


def context_of(path: Path) -> Any:
    """That of the engine that was loaded from a file."""
    (context,) = Runtime.engines[str(path).encode()].contexts
    return context
