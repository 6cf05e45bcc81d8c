"""Conditions of sampling that are expensive to compute, each computed once: encoded prompts and images.

Jobs that want the same at the same time share one computation; those that come later find it, while it fits. Only
what was computed is kept, never an error: the next job tries again.
"""

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Hashable
from dataclasses import dataclass

import numpy as np

from pipelines.runner import Array, Tensors

Compute = Callable[[], Awaitable[Array]]
Key = tuple[str, Hashable]
"""the model that computes, and everything that its result depends on"""


@dataclass(eq=False)
class _Call:
    """A computation under way."""

    task: asyncio.Task[Array]
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
        self._kept: OrderedDict[Key, Array] = OrderedDict()
        self._bytes = 0
        self._calls: dict[Key, _Call] = {}

    async def get(self, model: str, inputs: Hashable, compute: Compute) -> Array:
        """The result of `compute`, which is run unless an equal one is kept or under way.

        Cancelling it leaves those alone who wait for the same result. With the last of them the computation is
        cancelled too, and has ended when this returns.

        Args:
            model: that computes.
            inputs: equal exactly when the results are.

        Returns:
            An array that nobody may write to: it is shared.

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

    async def _wait(self, key: Key, call: _Call) -> Array:
        call.waiting += 1
        try:
            return await asyncio.shield(call.task)
        finally:
            call.waiting -= 1
            if call.waiting == 0 and not call.task.done():
                del self._calls[key]  # who comes now starts anew
                call.task.cancel()
                await asyncio.gather(call.task, return_exceptions=True)

    async def _compute(self, key: Key, compute: Compute) -> Array:
        try:
            array = await compute()
            array.setflags(write=False)
            self._keep(key, array)
            return array
        finally:
            call = self._calls.get(key)
            if call is not None and call.task is asyncio.current_task():
                del self._calls[key]

    def _keep(self, key: Key, array: Array) -> None:
        if array.nbytes > self._max_bytes:
            return
        self._kept[key] = array
        self._bytes += array.nbytes
        while self._bytes > self._max_bytes:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        self._kept_changed(self._bytes)


def fingerprint(tensors: Tensors) -> bytes:
    """A digest that is equal for equal tensors only: of their names, types, shapes and values."""
    digest = hashlib.blake2b(digest_size=32)
    for name, array in sorted(tensors.items()):
        digest.update(repr((name, array.dtype.str, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()
