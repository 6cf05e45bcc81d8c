"""Conditions of sampling that are expensive to compute, each computed once: encoded prompts and images.

Jobs that want the same at the same time share one computation; those that come later find it, while it fits. Only
what was computed is kept, never an error: the next job tries again.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable
from dataclasses import dataclass

import torch
from torch.utils.dlpack import from_dlpack

from pipelines.runner import Tensors

Compute = Callable[[], Awaitable[torch.Tensor]]
Key = tuple[str, Hashable]
"""the model that computes, and everything that its result depends on"""


@dataclass(eq=False)
class _Call:
    """A computation under way."""

    task: asyncio.Task[torch.Tensor]
    waiting: int = 0
    """jobs that want its result"""


class ConditionCache:
    """The results used last, by the model and what went into it.

    Args:
        max_bytes: what all that is kept together may take. A greater result is shared while it is computed, then
            forgotten.
        looked_up: told the model, and whether its result was there or already being computed.
        kept_changed: told how many bytes are kept, whenever they change.
    """

    def __init__(
        self,
        max_bytes: int,
        looked_up: Callable[[str, bool], None] = lambda model, found: None,
        kept_changed: Callable[[int], None] = lambda kept: None,
    ) -> None:
        self._max_bytes = max_bytes
        self._looked_up = looked_up
        self._kept_changed = kept_changed
        self._kept: OrderedDict[Key, torch.Tensor] = OrderedDict()
        self._bytes = 0
        self._calls: dict[Key, _Call] = {}

    async def get(self, model: str, inputs: Hashable, compute: Compute) -> torch.Tensor:
        """The result of `compute`, which is run unless an equal one is kept or under way.

        Cancelling it leaves those alone who wait for the same result. With the last of them the computation is
        cancelled too, and has ended when this returns.

        Args:
            model: that computes.
            inputs: equal exactly when the results are.

        Returns:
            A tensor that nobody can write to: it is shared.

        Raises:
            Exception: what `compute` raised, to each who waited for it.
        """
        key = (model, inputs)
        if key in self._kept:
            self._kept.move_to_end(key)
            self._looked_up(model, True)
            return self._kept[key]
        self._looked_up(model, key in self._calls)
        if key not in self._calls:
            self._calls[key] = _Call(asyncio.create_task(self._compute(key, compute)))
        return await self._wait(key, self._calls[key])

    def forget(self, models: Collection[str]) -> None:
        """Keep nothing of these models: others take their names."""
        for key in [key for key in self._kept if key[0] in models]:
            self._bytes -= self._kept.pop(key).nbytes
        self._kept_changed(self._bytes)

    async def _wait(self, key: Key, call: _Call) -> torch.Tensor:
        call.waiting += 1
        try:
            return await asyncio.shield(call.task)
        finally:
            call.waiting -= 1
            if call.waiting == 0 and not call.task.done():
                del self._calls[key]  # who comes now starts anew
                call.task.cancel()
                await asyncio.gather(call.task, return_exceptions=True)

    async def _compute(self, key: Key, compute: Compute) -> torch.Tensor:
        try:
            tensor = _read_only(await compute())
            self._keep(key, tensor)
            return tensor
        finally:
            call = self._calls.get(key)
            if call is not None and call.task is asyncio.current_task():
                del self._calls[key]

    def _keep(self, key: Key, tensor: torch.Tensor) -> None:
        if tensor.nbytes > self._max_bytes:
            return
        self._kept[key] = tensor
        self._bytes += tensor.nbytes
        while self._bytes > self._max_bytes:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        self._kept_changed(self._bytes)


def fingerprint(tensors: Tensors) -> bytes:
    """A digest that is equal for equal tensors only: of their names, dtypes, shapes and values."""
    digest = hashlib.blake2b(digest_size=32)
    for name, tensor in sorted(tensors.items()):
        digest.update(repr((name, tensor.dtype, tensor.shape)).encode())
        # as bytes: numpy has no bfloat16
        digest.update(tensor.cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.digest()


def _read_only(tensor: torch.Tensor) -> torch.Tensor:
    """The same memory, as a tensor that torch refuses to write to."""
    with torch.inference_mode():
        return from_dlpack(tensor)
