"""An ONNX graph put together operator by operator.

Tracing has to know how the sizes of all tensors hang together. A graph that is built need not: an operator takes the
size that it needs from the tensor that has it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from torch import Tensor

from export.graph import OPSET

_END = np.iinfo(np.int64).max
"""as the end of a slice: all that follows"""
_IR_VERSION = 10

Size = int | str | None
"""a number, the name of one that varies, or one that varies"""
Output = tuple[ir.Value, ir.DataType, Sequence[Size]]


class GraphBuilder:
    """Collects operators and their weights.

    Args:
        dtype: that the graph computes in.
    """

    def __init__(self, dtype: ir.DataType = ir.DataType.FLOAT) -> None:
        self.dtype = dtype
        self._tape = ir.tape.Tape()
        self._integers: dict[tuple[int, ...], ir.Value] = {}
        self._weights = 0

    def op(self, kind: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """The first output of an operator."""
        return self._tape.op(kind, inputs, attributes)

    def split(self, x: ir.Value, axis: int, parts: int) -> Sequence[ir.Value]:
        """Equal parts."""
        attributes = {"axis": axis, "num_outputs": parts}
        return self._tape.op_multi_out("Split", [x], attributes, num_outputs=parts)

    def weights(self, values: Tensor) -> ir.Value:
        """A constant in the dtype of the graph, made of floats when it is saved and in memory for no longer."""
        self._weights += 1
        name, dtype = f"weights_{self._weights}", self.dtype.numpy()
        return self._tape.initializer(
            ir.LazyTensor(
                lambda: ir.tensor(np.ascontiguousarray(values.float().numpy(), dtype), name=name),
                self.dtype,
                ir.Shape(values.shape),
                name=name,
            )
        )

    def floats(self, *numbers: float) -> ir.Value:
        """A constant vector, float32 whatever the graph computes in."""
        return self._constant(np.array(numbers, np.float32))

    def scalar(self, number: float) -> ir.Value:
        """A constant, float32 whatever the graph computes in."""
        return self._constant(np.array(number, np.float32))

    def cast(self, x: ir.Value, dtype: ir.DataType) -> ir.Value:
        """`x` itself in a graph that computes in float32."""
        return x if self.dtype is ir.DataType.FLOAT else self.op("Cast", x, to=dtype)

    def to_own(self, x: ir.Value) -> ir.Value:
        """From float32 to the dtype of the graph."""
        return self.cast(x, self.dtype)

    def to_float32(self, x: ir.Value) -> ir.Value:
        """From the dtype of the graph to float32."""
        return self.cast(x, ir.DataType.FLOAT)

    def zeros(self, shape: ir.Value) -> ir.Value:
        """In the dtype of the graph."""
        if self.dtype is ir.DataType.FLOAT:
            return self.op("ConstantOfShape", shape)
        return self.op("ConstantOfShape", shape, value=ir.tensor(np.zeros(1, self.dtype.numpy())))

    def _constant(self, array: NDArray[Any]) -> ir.Value:
        self._weights += 1
        return self._tape.initializer(ir.tensor(array, name=f"weights_{self._weights}"))

    def integers(self, *numbers: int) -> ir.Value:
        """A constant vector."""
        if numbers not in self._integers:
            name = f"integers_{len(self._integers)}"
            self._integers[numbers] = self._tape.initializer(ir.tensor(np.array(numbers, np.int64), name=name))
        return self._integers[numbers]

    def size(self, x: ir.Value, axis: int) -> ir.Value:
        """[1], the size of that axis, which is counted from the first."""
        return self.op("Shape", x, start=axis, end=axis + 1)

    def shape(self, *sizes: int | ir.Value) -> ir.Value:
        """Sizes, each a number or [1], as a vector."""
        return self.op("Concat", *(self.integers(size) if isinstance(size, int) else size for size in sizes), axis=0)

    def slice(self, x: ir.Value, axis: int, start: int | ir.Value, end: int | ir.Value = _END) -> ir.Value:
        bounds = (self.integers(bound) if isinstance(bound, int) else bound for bound in (start, end))
        return self.op("Slice", x, *bounds, self.integers(axis))

    def transpose(self, x: ir.Value, *axes: int) -> ir.Value:
        return self.op("Transpose", x, perm=axes)

    def build(self, inputs: Sequence[ir.Value], outputs: Mapping[str, Output]) -> ir.Model:
        """The graph."""
        named = []
        for name, (value, dtype, sizes) in outputs.items():
            output = self.op("Identity", value)
            output.name, output.dtype, output.shape = name, dtype, ir.Shape(sizes)
            named.append(output)
        graph = ir.Graph(
            inputs,
            named,
            nodes=self._tape.nodes,
            initializers=self._tape.initializers,
            opset_imports={"": OPSET},
            name="main",
        )
        return ir.Model(graph, ir_version=_IR_VERSION)
