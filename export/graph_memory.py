"""How much memory a built graph takes, for given sizes of its inputs, without running it."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

Shape = tuple[int, ...]
_BYTES = 4
"""of a float32"""
_IN_PLACE = {"Add", "Mul", "Div", "Sigmoid", "Clip", "Identity", "Reshape", "Squeeze", "Unsqueeze"}
"""operators that write over an input that nobody else needs"""


class GraphMemory:
    """Follows the sizes of all tensors through a graph.

    Args:
        sizes: of the inputs, in their order.
    """

    def __init__(self, model: ir.Model, sizes: Sequence[Shape]) -> None:
        self._graph = model.graph
        self._shapes: dict[ir.Value, Shape] = dict(zip(model.graph.inputs, sizes, strict=True))
        self._integers: dict[ir.Value, NDArray[np.int64]] = {}
        self._constants: dict[ir.Value, NDArray[Any]] = {}
        for value in model.graph.initializers.values():
            assert value.const_value is not None
            self._shapes[value] = tuple(value.const_value.shape.numpy())
            if value.const_value.dtype is ir.DataType.INT64:
                self._integers[value] = value.const_value.numpy()
        for node in model.graph:
            self._follow(node)

    def outputs(self, prefix: str = "") -> list[Shape]:
        """Sizes of the outputs whose names begin so."""
        return [self._shapes[value] for value in self._graph.outputs if (value.name or "").startswith(prefix)]

    def peak_bytes(self) -> int:
        """The greatest size of what lives at once, of that which the graph computes; outputs live to the end."""
        uses = Counter(value for node in self._graph for value in node.inputs if value is not None)
        outputs = set(self._graph.outputs)
        live = peak = 0
        for node in self._graph:
            dying = 0
            for value, count in Counter(value for value in node.inputs if value is not None).items():
                uses[value] -= count
                if not uses[value] and value.producer() is not None and value not in outputs:
                    dying += self._bytes(value)
            made = sum(self._bytes(value) for value in node.outputs)
            if node.op_type in _IN_PLACE:
                made, dying = max(made - dying, 0), max(dying - made, 0)
            live += made
            peak = max(peak, live)
            live -= dying
        return peak

    def _bytes(self, value: ir.Value) -> int:
        return 0 if value in self._integers else _BYTES * math.prod(self._shapes[value])

    def _follow(self, node: ir.Node) -> None:
        if node.op_type in _INTEGERS and all(value in self._integers for value in node.inputs):
            first, *others = (self._integers[value] for value in node.inputs if value is not None)
            self._integers[node.outputs[0]] = _INTEGERS[node.op_type](first, *others)
        elif node.op_type == "Shape":
            start, end = node.attributes["start"].as_int(), node.attributes["end"].as_int()
            self._integers[node.outputs[0]] = np.array(self._shapes[self._input(node, 0)][start:end], np.int64)
        else:
            shape = _SHAPES[node.op_type](self, node)
            for output in node.outputs:
                self._shapes[output] = shape

    def _input(self, node: ir.Node, number: int) -> ir.Value:
        value = node.inputs[number]
        assert value is not None
        return value

    def shape(self, node: ir.Node, number: int = 0) -> Shape:
        """Of an input."""
        return self._shapes[self._input(node, number)]

    def integers(self, node: ir.Node, number: int) -> list[int]:
        """Of an input."""
        return [int(value) for value in self._integers[self._input(node, number)]]


_INTEGERS: Mapping[str, Callable[..., NDArray[np.int64]]] = {
    "Mul": lambda a, b: a * b,
    "Div": lambda a, b: a // b,
    "Concat": lambda *parts: np.concatenate(parts),
}


def _concat(memory: GraphMemory, node: ir.Node) -> Shape:
    axis = node.attributes["axis"].as_int()
    shapes = [memory.shape(node, number) for number in range(len(node.inputs))]
    sizes = list(shapes[0])
    for shape in shapes[1:]:
        if shape[:axis] + shape[axis + 1 :] != shapes[0][:axis] + shapes[0][axis + 1 :]:
            raise ValueError(f"{shapes} do not fit beside each other")
    sizes[axis] = sum(shape[axis] for shape in shapes)
    return tuple(sizes)


def _convolve(memory: GraphMemory, node: ir.Node) -> Shape:
    batch, _, *sizes = memory.shape(node)
    channels, _, *kernel = memory.shape(node, 1)
    pads, strides = node.attributes["pads"].as_ints(), node.attributes["strides"].as_ints()
    padded = [size + before + after for size, before, after in zip(sizes, pads, pads[len(sizes) :], strict=False)]
    return (batch, channels, *((p - k) // s + 1 for p, k, s in zip(padded, kernel, strides, strict=True)))


def _slice(memory: GraphMemory, node: ir.Node) -> Shape:
    sizes = list(memory.shape(node))
    (start,), (end,), (axis,) = (memory.integers(node, number) for number in (1, 2, 3))
    sizes[axis] = len(range(sizes[axis])[start:end])
    return tuple(sizes)


def _reshape(memory: GraphMemory, node: ir.Node) -> Shape:
    before = memory.shape(node)
    sizes = [before[axis] if size == 0 else size for axis, size in enumerate(memory.integers(node, 1))]
    rest = -math.prod(sizes)
    return tuple(math.prod(before) // rest if size == -1 else size for size in sizes)


def _transpose(memory: GraphMemory, node: ir.Node) -> Shape:
    return tuple(memory.shape(node)[axis] for axis in node.attributes["perm"].as_ints())


def _reduce(memory: GraphMemory, node: ir.Node) -> Shape:
    axes = memory.integers(node, 1)
    return tuple(1 if axis in axes else size for axis, size in enumerate(memory.shape(node)))


def _split(memory: GraphMemory, node: ir.Node) -> Shape:
    sizes = list(memory.shape(node))
    sizes[node.attributes["axis"].as_int()] //= node.attributes["num_outputs"].as_int()
    return tuple(sizes)


def _squeeze(memory: GraphMemory, node: ir.Node) -> Shape:
    axes = memory.integers(node, 1)
    return tuple(size for axis, size in enumerate(memory.shape(node)) if axis not in axes)


def _unsqueeze(memory: GraphMemory, node: ir.Node) -> Shape:
    sizes = list(memory.shape(node))
    sizes.insert(memory.integers(node, 1)[0], 1)
    return tuple(sizes)


def _broadcast(memory: GraphMemory, node: ir.Node) -> Shape:
    return np.broadcast_shapes(*(memory.shape(node, number) for number in range(len(node.inputs))))


def _gather(memory: GraphMemory, node: ir.Node) -> Shape:
    sizes = list(memory.shape(node))
    sizes[node.attributes["axis"].as_int()] = len(memory.integers(node, 1))
    return tuple(sizes)


def _depth_to_space(memory: GraphMemory, node: ir.Node) -> Shape:
    factor = node.attributes["blocksize"].as_int()
    batch, channels, rows, width = memory.shape(node)
    return batch, channels // factor**2, rows * factor, width * factor


def _space_to_depth(memory: GraphMemory, node: ir.Node) -> Shape:
    factor = node.attributes["blocksize"].as_int()
    batch, channels, rows, width = memory.shape(node)
    return batch, channels * factor**2, rows // factor, width // factor


def _pad(memory: GraphMemory, node: ir.Node) -> Shape:
    shape, pads = memory.shape(node), memory.integers(node, 1)
    return tuple(size + pads[axis] + pads[len(shape) + axis] for axis, size in enumerate(shape))


def _resize(memory: GraphMemory, node: ir.Node) -> Shape:
    batch, channels, rows, width = memory.shape(node)
    return batch, channels, 2 * rows, 2 * width


def _same(memory: GraphMemory, node: ir.Node) -> Shape:
    return memory.shape(node)


_SHAPES: Mapping[str, Callable[[GraphMemory, ir.Node], Shape]] = {
    "Add": _broadcast,
    "Attention": _same,
    "Clip": _same,
    "Concat": _concat,
    "ConstantOfShape": lambda memory, node: tuple(memory.integers(node, 0)),
    "Conv": _convolve,
    "DepthToSpace": _depth_to_space,
    "Div": _broadcast,
    "Gather": _gather,
    "Identity": _same,
    "Max": _broadcast,
    "Mul": _broadcast,
    "Pad": _pad,
    "ReduceL2": _reduce,
    "Reshape": _reshape,
    "Resize": _resize,
    "Sigmoid": _same,
    "Slice": _slice,
    "SpaceToDepth": _space_to_depth,
    "Split": _split,
    "Squeeze": _squeeze,
    "Transpose": _transpose,
    "Unsqueeze": _unsqueeze,
}
