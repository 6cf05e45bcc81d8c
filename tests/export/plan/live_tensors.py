"""How much of an exported graph's tensors is alive at once, in the order in which ONNX Runtime runs it."""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

_BYTES = {"float": 4, "int64": 8, "int32": 4, "bool": 1}
_KERNEL = "_kernel_time"


def live_bytes(graph: Path, shapes: Mapping[str, Sequence[int]], folder: Path) -> int:
    """Greatest bytes of what a call with float32 inputs of those shapes makes and still needs, or returns.

    Args:
        folder: for the profile.
    """
    optimized = folder / "optimized.onnx"
    options = ort.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(folder / "profile")
    options.optimized_model_filepath = str(optimized)
    options.log_severity_level = 3
    session = ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    session.run(None, {name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    profile = json.loads(Path(session.end_profiling()).read_text())
    made = {
        event["name"].removesuffix(_KERNEL): [_size(shape) for shape in event["args"]["output_type_shape"]]
        for event in profile
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL)
    }
    model = onnx.load(optimized, load_external_data=False)
    nodes = {node.name: node for node in model.graph.node}
    outputs = {output.name for output in model.graph.output}
    uses = Counter(name for node in nodes.values() for name in node.input)
    live: dict[str, int] = {}
    peak = 0
    for name, sizes in made.items():
        node = nodes[name]
        live |= dict(zip(filter(None, node.output), sizes, strict=True))
        peak = max(peak, sum(live.values()))
        uses.subtract(node.input)
        for used in {*node.input, *node.output}:
            if not uses[used] and used not in outputs:
                live.pop(used, None)
    return peak


def _size(typed: Mapping[str, Sequence[int]]) -> int:
    ((kind, shape),) = typed.items()
    return _BYTES[kind] * math.prod(shape)
