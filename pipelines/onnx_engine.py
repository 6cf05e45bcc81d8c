"""ONNX Runtime sessions: one-shot models, and streaming ones that carry caches from chunk to chunk."""

import time
from pathlib import Path

import numpy as np
import onnxruntime as ort

from pipelines.adapter_cache import AdapterCache
from pipelines.heap import Heap
from pipelines.lora_folder import LoraFolder
from pipelines.lora_spec import LORA_INPUT
from pipelines.runner import Array, Tensors

ADAPTER_CACHE_BYTES = 2**30


def open_session(path: Path, threads: int) -> ort.InferenceSession:
    """Load a graph on the GPU where onnxruntime-gpu finds one, else on the CPU.

    Args:
        threads: intra-op threads; 0 takes one a core.
    """
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in ort.get_available_providers()]
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    if providers == ["CPUExecutionProvider"]:
        # The arena keeps what the largest call took for ever, and takes up to three times what the call needs.
        options.enable_cpu_mem_arena = False
        # Waking sleeping threads for every operator costs more than the second thread brings; between calls nothing
        # spins, so that models that take turns on the cores do not slow each other.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1")
        options.add_session_config_entry("session.force_spinning_stop", "1")
    else:
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(path), options, providers=providers)


def device_of(session: ort.InferenceSession) -> str:
    """Where the graph runs: `cuda` or `cpu`."""
    return "cuda" if "CUDAExecutionProvider" in session.get_providers() else "cpu"


class OnnxEngine:
    """A model that is one graph, `model.onnx`.

    Args:
        loras: where the adapters are that transformers are asked to apply.
        adapter_cache_bytes: how many bytes of them stay loaded.
    """

    def __init__(
        self,
        folder: Path,
        threads: int = 0,
        loras: LoraFolder | None = None,
        adapter_cache_bytes: int = ADAPTER_CACHE_BYTES,
    ) -> None:
        self._session = open_session(folder / "model.onnx", threads)
        self._outputs = [output.name for output in self._session.get_outputs()]
        optional = [value.name for value in self._session.get_overridable_initializers()]
        self._adapters = AdapterCache(
            loras or LoraFolder(None), optional, device_of(self._session), adapter_cache_bytes
        )
        self._heap = Heap()

    def run(self, inputs: Tensors) -> dict[str, Array]:
        """All outputs for one set of inputs, of which `lora` names adapters to apply.

        Raises:
            PipelineError: an adapter cannot be applied any more.
        """
        outputs = self._run(dict(inputs))
        self._heap.trim_if_grown()
        return outputs

    def _run(self, arrays: dict[str, Array]) -> dict[str, Array]:
        applied = arrays.pop(LORA_INPUT, None)
        if applied is None:
            return dict(zip(self._outputs, self._session.run(self._outputs, arrays), strict=True))
        feeds = {name: ort.OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}
        feeds |= self._adapters.feeds(applied.item().decode())
        values = self._session.run_with_ort_values(self._outputs, feeds)
        return {name: value.numpy() for name, value in zip(self._outputs, values, strict=True)}


class StreamingEngine:
    """A model that is two graphs, `first.onnx` and `next.onnx`, and keeps caches between calls.

    Both graphs take the chunk first, then (`next` only) the caches; both return the result first, then the caches
    in the same order. The caches stay on the device that computed them.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self._first = open_session(folder / "first.onnx", threads)
        self._next = open_session(folder / "next.onnx", threads)
        self._output: str = self._first.get_outputs()[0].name
        self._device = device_of(self._first)
        self._caches: dict[object, list[ort.OrtValue]] = {}
        self._last_used: dict[object, float] = {}
        self._heap = Heap()

    def __len__(self) -> int:
        """How many sequences hold caches."""
        return len(self._caches)

    def run(self, inputs: Tensors, sequence_id: object, start: bool, end: bool) -> dict[str, Array]:
        """Process the next chunk of a sequence; a chunk without frames (axis 2) only ends it.

        Raises:
            LookupError: the sequence was never started, or has been forgotten.
        """
        (x,) = inputs.values()
        if x.shape[2] == 0:
            self._forget(sequence_id)
            return {self._output: np.empty((0,) * 5, np.float32)}
        if start:
            result, caches = self._call(self._first, x, [])
        elif sequence_id in self._caches:
            result, caches = self._call(self._next, x, self._caches[sequence_id])
        else:
            raise LookupError(f"sequence {sequence_id} was not started or has been idle for too long")
        if end:
            self._forget(sequence_id)
        else:
            self._caches[sequence_id] = caches
            self._last_used[sequence_id] = time.monotonic()
            self._heap.trim_if_grown()
        return {self._output: result}

    def forget_idle(self, seconds: float) -> None:
        """Drop the caches of sequences that were not called for so long: their job has died."""
        oldest = time.monotonic() - seconds
        for sequence_id in [key for key, used in self._last_used.items() if used < oldest]:
            self._forget(sequence_id)

    def _forget(self, sequence_id: object) -> None:
        self._caches.pop(sequence_id, None)
        self._last_used.pop(sequence_id, None)
        self._heap.trim()

    def _call(
        self, session: ort.InferenceSession, x: Array, caches: list[ort.OrtValue]
    ) -> tuple[Array, list[ort.OrtValue]]:
        binding = session.io_binding()
        names = [node.name for node in session.get_inputs()]
        binding.bind_cpu_input(names[0], np.ascontiguousarray(x))
        for name, cache in zip(names[1:], caches, strict=True):
            binding.bind_ortvalue_input(name, cache)
        for node in session.get_outputs():
            binding.bind_output(node.name, self._device)
        session.run_with_iobinding(binding)
        result, *caches = binding.get_outputs()
        return result.numpy(), caches


def open_engine(
    folder: Path,
    threads: int = 0,
    loras: LoraFolder | None = None,
    adapter_cache_bytes: int = ADAPTER_CACHE_BYTES,
) -> OnnxEngine | StreamingEngine:
    """The engine for the graphs in a model's version folder; the last two arguments are for `OnnxEngine`."""
    if (folder / "first.onnx").exists():
        return StreamingEngine(folder, threads)
    return OnnxEngine(folder, threads, loras, adapter_cache_bytes)
