"""What a module takes beside its weights while it computes, counted without computing.

The torch module runs on the meta device, where tensors have sizes and no values, and every tensor is counted from the
operator that makes it until nothing refers to it. Attention counts as one operator, as fused kernels compute it. ONNX
Runtime runs the same operators; TensorRT fuses them further and needs less.
"""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


def peak_bytes(module: nn.Module, run: Callable[[], object]) -> int:
    """The greatest size of what lives at once while `run` computes on the meta device, beside the module's weights."""
    counted = _LiveTensors([*module.parameters(), *module.buffers()])
    with torch.device("meta"), torch.no_grad(), _FusedAttention(), counted:
        run()
    return counted.peak


class _FusedAttention(TorchFunctionMode):
    """Attention makes its result and nothing else."""

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is functional.scaled_dot_product_attention:
            query, value = (args[0], args[2]) if args else (kwargs["query"], kwargs["value"])
            return value.new_empty((*query.shape[:-1], value.shape[-1]))
        return func(*args, **kwargs)


class _LiveTensors(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all storages that operators make.

    Args:
        existing: tensors that do not count.
    """

    def __init__(self, existing: Sequence[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = 0
        self._live = 0
        self._known = {tensor.untyped_storage()._cdata for tensor in existing}

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key = storage._cdata
        if key in self._known:  # a view
            return
        self._known.add(key)
        self._live += storage.nbytes()
        self.peak = max(self.peak, self._live)
        weakref.finalize(storage, self._forget, key, storage.nbytes())

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self._live -= size
