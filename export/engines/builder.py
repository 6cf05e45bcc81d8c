"""One ONNX graph into one TensorRT engine, whichever of the two libraries builds it."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
from numpy.typing import NDArray

from export.attention import EXPANDED_MASK
from export.engines.errors import EngineError
from export.engines.library import Library, capability_name
from export.engines.log import make_log, make_monitor
from export.engines.profiles import Profile
from pipelines.lora.targets import DIFFERENCE

if TYPE_CHECKING:
    import tensorrt

_NO_FUSED_KERNEL = "not supported by a dedicated kernel"
_FUSED_ATTENTION = "mha"
"""in the names of layers that compute attention without tokens x tokens numbers in memory"""

OnProgress = Callable[[str, int, int], None]
"""phase, steps done, steps in all"""


@dataclass(frozen=True)
class BuiltEngine:
    """What became of a graph."""

    path: Path
    seconds: float
    attentions: int
    """of the graph"""
    fused_attentions: int
    """of the engine, over all profiles"""


class EngineBuilder:
    """Builds engines, one at a time.

    Args:
        capabilities: compute capabilities of the GPUs to build for, such as "8.9"; none: for the GPU of the machine,
            which full TensorRT always does.
        streams_weights: the engine can run with part of its weights in host memory.
        on_progress: told how a build gets on.
    """

    def __init__(
        self,
        library: Library,
        capabilities: Sequence[str],
        streams_weights: bool = False,
        on_progress: OnProgress = lambda phase, done, steps: None,
    ) -> None:
        self._trt = library.module
        self._capabilities = _checked(library, capabilities)
        self._streams_weights = streams_weights
        self._log, self._logger = make_log(self._trt)
        self._builder: tensorrt.Builder = self._trt.Builder(self._logger)
        self._monitor = make_monitor(self._trt, on_progress)

    def build(self, graph: Path, profiles: Sequence[Profile], must_fuse: bool, engine: Path) -> BuiltEngine:
        """Build the engine of a graph, and write it as it is built.

        Args:
            must_fuse: attention that no fused kernel exists for is an error; else it holds tokens x tokens numbers.

        Raises:
            EngineError: the graph cannot be read, loses inputs, or cannot be built.
        """
        started = time.monotonic()
        self._log.clear()
        network: tensorrt.INetworkDefinition = self._builder.create_network(0)
        model = _read(graph)
        with self._parsed(model, graph, network):
            attentions = self._attentions(network)
            for attention in attentions:
                attention.decomposable = not must_fuse
            config = self._config(profiles, model.graph)
            self._write(network, config, graph, engine)
        fused = sum(_FUSED_ATTENTION in name for name, _ in self._log.layers)
        return BuiltEngine(engine, time.monotonic() - started, len(attentions), fused)

    @contextmanager
    def _parsed(self, model: onnx.ModelProto, graph: Path, network: "tensorrt.INetworkDefinition") -> Iterator[None]:
        """The graph in the network; the weights stay mapped inside the block."""
        parser: tensorrt.OnnxParser = self._trt.OnnxParser(network, self._logger)
        maps: dict[Path, NDArray[np.uint8]] = {}
        is_parsed = parser.load_model_proto(model.SerializeToString())
        for tensor in model.graph.initializer:
            if tensor.data_location != onnx.TensorProto.EXTERNAL:
                continue
            where = {entry.key: entry.value for entry in tensor.external_data}
            path = graph.parent / where["location"]
            if path not in maps:
                maps[path] = np.memmap(path, np.uint8, "r")
            address = maps[path].ctypes.data + int(where.get("offset", 0))
            is_parsed = is_parsed and parser.load_initializer(tensor.name, address, int(where["length"]))
        if not (is_parsed and parser.parse_model_proto()):
            errors = [parser.get_error(number).desc() for number in range(parser.num_errors)]
            raise EngineError(f"{graph} cannot be read: {_joined([*errors, *self._log.errors])}")
        wanted = {value.name for value in model.graph.input}
        lost = wanted - {network.get_input(number).name for number in range(network.num_inputs)}
        if lost:  # the parser drops what it takes for constant, and the engine would ignore it
            raise EngineError(f"{graph} would lose {len(lost)} inputs, {min(lost)} among them")
        yield

    def _attentions(self, network: "tensorrt.INetworkDefinition") -> "list[tensorrt.IAttention]":
        found = []
        for number in range(network.num_layers):
            layer = network.get_layer(number)
            if layer.type == self._trt.LayerType.ATTENTION_INPUT:
                layer.__class__ = self._trt.IAttentionInputLayer  # the bindings hand out the base class
                found.append(layer.attention)  # type: ignore[attr-defined]
        return found

    def _config(self, profiles: Sequence[Profile], graph: onnx.GraphProto) -> "tensorrt.IBuilderConfig":
        trt = self._trt
        config: tensorrt.IBuilderConfig = self._builder.create_builder_config()
        if self._capabilities:
            config.num_compute_capabilities = len(self._capabilities)
            for number, capability in enumerate(self._capabilities):
                config.set_compute_capability(getattr(trt.ComputeCapability, capability_name(capability)), number)
        config.progress_monitor = self._monitor
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # the log lists the layers only then
        config.clear_flag(trt.BuilderFlag.TF32)  # a float32 VAE is to be float32
        if self._streams_weights:
            config.set_flag(trt.BuilderFlag.WEIGHT_STREAMING)
        for profile in profiles:
            made = self._builder.create_optimization_profile()
            for name, shapes in profile.shapes(graph).items():
                made.set_shape(name, *shapes)
            if config.add_optimization_profile(made) < 0:
                raise EngineError(f"the profile {profile.name!r} is refused: {_joined(self._log.errors)}")
        return config

    def _write(
        self, network: "tensorrt.INetworkDefinition", config: "tensorrt.IBuilderConfig", graph: Path, engine: Path
    ) -> None:
        unfinished = engine.with_name(f".{engine.name}.part")
        try:
            with unfinished.open("wb") as file:
                writer = _stream_writer(self._trt, file.write)
                is_built = self._builder.build_serialized_network_to_stream(network, config, writer)
            if not is_built:
                raise EngineError(self._failure(graph))
            unfinished.replace(engine)
        finally:
            unfinished.unlink(missing_ok=True)

    def _failure(self, graph: Path) -> str:
        said = _joined(self._log.errors)
        if _NO_FUSED_KERNEL in said:
            return (
                f"{graph}: there is no fused attention kernel for its precision and head size on such a GPU, and "
                "without one attention would hold tokens x tokens numbers; export it with --target onnx --precision "
                "bfloat16 (float16 for compute capability 7.5)"
            )
        return f"{graph} cannot be built: {said}"


def _checked(library: Library, capabilities: Sequence[str]) -> tuple[str, ...]:
    unknown = [capability for capability in capabilities if capability not in library.capabilities]
    if unknown and library.capabilities:
        known = ", ".join(library.capabilities)
        raise EngineError(
            f"{library.name} {library.version} does not build for compute capability {', '.join(unknown)}; it does for "
            f"{known}. Data centre GPUs since Hopper (9.0, 10.0) need full TensorRT, on a machine that has one"
        )
    if unknown:
        raise EngineError(
            f"{library.name} {library.version} builds for the GPU of the machine that it runs on; leave out "
            "--compute-capability there"
        )
    return tuple(capabilities)


def _read(graph: Path) -> onnx.ModelProto:
    """The graph without what is beside it.

    Attention gets its masks as they were before they were repeated for each query, which fused kernels do not need.
    Low-rank inputs lose their defaults, with which they would become constants. Differences of biases, norms and the
    like do become what they are by default, zero: an addition to each would cost every call, for few adapters that have
    them.
    """
    try:
        model = onnx.load(str(graph), load_external_data=False)
    except Exception as error:  # protobuf's and the file system's alike
        raise EngineError(f"{graph} cannot be read: {error}") from error
    if not model.graph.node:
        raise EngineError(f"{graph} cannot be read: it holds no graph")
    masks = {node.output[0]: node for node in model.graph.node if node.name.startswith(EXPANDED_MASK)}
    for node in model.graph.node:
        for number, name in enumerate(node.input):
            if name in masks:
                node.input[number] = masks[name].input[0]
    for node in masks.values():
        model.graph.node.remove(node)
    values = [value for value in model.graph.input if not value.name.endswith(DIFFERENCE)]
    inputs = {value.name for value in values}
    kept = [tensor for tensor in model.graph.initializer if tensor.name not in inputs]
    del model.graph.initializer[:], model.graph.input[:]
    model.graph.initializer.extend(kept)
    model.graph.input.extend(values)
    return model


def _stream_writer(trt: object, write: Callable[[bytes], int]) -> "tensorrt.IStreamWriter":
    class Writer(trt.IStreamWriter):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            trt.IStreamWriter.__init__(self)  # type: ignore[attr-defined]

        def write(self, data: bytes) -> int:
            return write(data)

    writer: tensorrt.IStreamWriter = Writer()
    return writer


def _joined(errors: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(errors)) or "the library does not say why"
