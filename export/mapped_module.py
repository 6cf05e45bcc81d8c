"""A component's torch module whose weights stay in the checkpoint's files, whatever it computes in.

A parameter of the checkpoint's own type is the mapped file. One of another type is a hole (see `export.skeleton`) that
says type and shape, and has its values only while the module that it belongs to computes: so no more than one layer's
weights are in memory at a time.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from export.options import Precision
from export.skeleton import Load, load_skeleton
from export.stored_weights import StoredWeights


class MappedModule:
    """Loads it. Raises CheckpointError where it cannot be loaded.

    Args:
        load: `Part.load`.
        folder: of the component.
        scratch: folder to write a few kilobytes in.
    """

    def __init__(self, load: Load, folder: Path, precision: Precision, scratch: Path) -> None:
        self.weights = StoredWeights(folder)
        self.module, names = load_skeleton(load, folder, self.weights, precision, scratch)
        for name, buffer in self.module.named_buffers():
            if name in names:
                buffer.data = self.weights[names[name]].to(buffer.dtype)
        self.stored: dict[str, Tensor] = {}
        """what the checkpoint stores of each parameter"""
        for name, parameter in self.module.named_parameters():
            if name in names:
                self.stored[name] = self.weights[names[name]]
                if self.stored[name].dtype is parameter.dtype:
                    parameter.data = self.stored[name]

    def names_in(self, module: nn.Module) -> set[str]:
        """The parameters that another module has as well, one that wraps this or a part of it."""
        present = {id(parameter) for parameter in module.parameters()}
        return {name for name, parameter in self.module.named_parameters() if id(parameter) in present} & set(
            self.stored
        )

    @contextmanager
    def as_stored(self) -> Iterator[None]:
        """Inside the block parameters hold what the checkpoint stores, in its types, to be read and not run."""
        with _replaced(self.module, self.stored):
            yield

    @contextmanager
    def with_values(self, names: Collection[str]) -> Iterator[None]:
        """Inside the block these parameters have their values, in memory."""
        parameters = dict(self.module.named_parameters())
        with _replaced(self.module, {name: self.stored[name].to(parameters[name].dtype) for name in names}):
            yield

    @contextmanager
    def computing(self, names: Collection[str]) -> Iterator[nn.Module]:
        """Inside the block the module computes with its weights, as if they had been loaded.

        Args:
            names: those that its result depends on.
        """
        parameters = dict(self.module.named_parameters())
        values = {id(parameters[name]): self.stored[name] for name in names}
        hooks = []
        for layer in self.module.modules():
            own = {
                parameter: values[id(parameter)]
                for parameter in layer.parameters(recurse=False)
                if id(parameter) in values and parameter.dtype is not values[id(parameter)].dtype
            }
            if own:
                before, after = _casts(own, is_table=isinstance(layer, nn.Embedding))
                hooks += [layer.register_forward_pre_hook(before), layer.register_forward_hook(after, always_call=True)]
        try:
            yield self.module
        finally:
            for hook in hooks:
                hook.remove()


@contextmanager
def _replaced(module: nn.Module, values: Mapping[str, Tensor]) -> Iterator[None]:
    before = {name: parameter.data for name, parameter in module.named_parameters() if name in values}
    parameters = dict(module.named_parameters())
    for name in before:
        parameters[name].data = values[name]
    try:
        yield
    finally:
        for name, data in before.items():
            parameters[name].data = data


def _casts(
    own: Mapping[nn.Parameter, Tensor], is_table: bool
) -> tuple[Callable[[nn.Module, Any], None], Callable[[nn.Module, Any, Any], Any]]:
    """What to do before and after a layer computes.

    Args:
        is_table: of an embedding, which may be as large as all else: the rows that were looked up are cast, not all.
    """
    holes: list[tuple[nn.Parameter, Tensor]] = []

    def before(layer: nn.Module, arguments: Any) -> None:
        for parameter, stored in own.items():
            holes.append((parameter, parameter.data))
            parameter.data = stored if is_table else stored.to(parameter.dtype)

    def after(layer: nn.Module, arguments: Any, result: Any) -> Any:
        while holes:
            parameter, hole = holes.pop()
            parameter.data = hole
        if is_table and isinstance(result, torch.Tensor):
            return result.to(next(iter(own)).dtype)
        return result

    return before, after
