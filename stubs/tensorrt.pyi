"""What Tritonreel uses of TensorRT 11's Python API, which TensorRT for RTX 1.7 has too unless said otherwise.

Neither package has stubs of its own.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Protocol

__version__: str

class ILogger:
    class Severity(IntEnum):
        INTERNAL_ERROR = 0
        ERROR = 1
        WARNING = 2
        INFO = 3
        VERBOSE = 4

    def __init__(self) -> None: ...
    def log(self, severity: Severity, msg: str) -> None: ...

class IProgressMonitor:
    def __init__(self) -> None: ...
    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None: ...
    def step_complete(self, phase_name: str, step: int) -> bool: ...
    def phase_finish(self, phase_name: str) -> None: ...

class IStreamWriter:
    def __init__(self) -> None: ...
    def write(self, data: bytes) -> int: ...

class LayerType(IntEnum):
    ATTENTION_INPUT: int

class IAttention:
    decomposable: bool

class ITensor:
    name: str

class ILayer:
    name: str
    type: LayerType

class IAttentionInputLayer(ILayer):
    attention: IAttention

class INetworkDefinition:
    num_layers: int
    num_inputs: int
    def get_layer(self, index: int) -> ILayer: ...
    def get_input(self, index: int) -> ITensor: ...

class IOptimizationProfile:
    def set_shape(self, input: str, min: Sequence[int], opt: Sequence[int], max: Sequence[int]) -> None: ...

class BuilderFlag(IntEnum):
    TF32: int
    WEIGHT_STREAMING: int

class ProfilingVerbosity(IntEnum):
    DETAILED: int

class ComputeCapability(IntEnum):
    """TensorRT for RTX only."""

class ITimingCache(Protocol):
    def serialize(self) -> bytes: ...

class IBuilderConfig:
    progress_monitor: IProgressMonitor
    profiling_verbosity: ProfilingVerbosity
    num_compute_capabilities: int  # TensorRT for RTX only
    def set_compute_capability(self, capability: ComputeCapability, index: int) -> bool: ...  # the same
    def set_flag(self, flag: BuilderFlag) -> None: ...
    def clear_flag(self, flag: BuilderFlag) -> None: ...
    def add_optimization_profile(self, profile: IOptimizationProfile) -> int: ...
    def create_timing_cache(self, serialized_timing_cache: bytes) -> ITimingCache: ...
    def set_timing_cache(self, cache: ITimingCache, ignore_mismatch: bool) -> bool: ...

class Builder:
    def __init__(self, logger: ILogger) -> None: ...
    def create_network(self, flags: int = 0) -> INetworkDefinition: ...
    def create_builder_config(self) -> IBuilderConfig: ...
    def create_optimization_profile(self) -> IOptimizationProfile: ...
    def build_serialized_network_to_stream(
        self, network: INetworkDefinition, config: IBuilderConfig, writer: IStreamWriter
    ) -> bool: ...

class ParserError(Protocol):
    def desc(self) -> str: ...

class OnnxParser:
    num_errors: int
    def __init__(self, network: INetworkDefinition, logger: ILogger) -> None: ...
    def load_model_proto(self, model: bytes) -> bool: ...
    def load_initializer(self, name: str, data: int, size: int) -> bool: ...
    def parse_model_proto(self) -> bool: ...
    def get_error(self, index: int) -> ParserError: ...
