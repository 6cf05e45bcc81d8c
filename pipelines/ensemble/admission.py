"""A bounded queue: jobs run while there are places and memory, a number of them wait, and one more is refused."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NoReturn

from pipelines.ensemble.memory import MemoryBudget, MemoryNeed, total
from protocol.errors import InvalidRequest, QueueFull

MAX_OVERTAKEN = 16
"""jobs that may start before one that has waited for memory for longer"""
_MIB = 2**20


@dataclass(eq=False)
class _Waiting:
    """A job that waits."""

    need: MemoryNeed
    moved: Callable[[int | None], None]
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    overtaken: int = 0
    """jobs behind it that started before it"""


class Admission:
    """Places for jobs, first come first served; one that does not fit into memory yet lets some that do pass.

    Args:
        max_running: jobs that hold a place at the same time.
        max_waiting: jobs that wait for one.
        changed: told (running, waiting) whenever they change.
        memory: what the jobs that run may need together; None for no limit.
    """

    def __init__(
        self,
        max_running: int,
        max_waiting: int,
        changed: Callable[[int, int], None],
        memory: MemoryBudget | None = None,
    ) -> None:
        self._max_running = max_running
        self._max_waiting = max_waiting
        self._changed = changed
        self._memory = memory
        self._running: list[MemoryNeed] = []
        self._waiting: list[_Waiting] = []

    @asynccontextmanager
    async def place(
        self,
        while_waiting: Callable[[], Awaitable[NoReturn]],
        need: MemoryNeed = MemoryNeed(),  # noqa: B008 (frozen)
        moved: Callable[[int | None], None] = lambda _: None,
    ) -> AsyncIterator[None]:
        """Hold a place; give it back on leaving.

        Args:
            while_waiting: runs beside the wait and ends it by raising.
            need: memory of the job.
            moved: told how many jobs wait before this one, whenever that changes, and None when it starts.

        Raises:
            InvalidRequest: there is not as much memory, whatever else runs.
            QueueFull: too many wait already.
        """
        if self._memory is not None and need.total > self._memory.bytes:
            raise InvalidRequest(
                f"this needs about {need.total // _MIB:,} MiB of memory, and the server has "
                f"{self._memory.bytes // _MIB:,} MiB for jobs: ask for a smaller size or fewer frames",
                "size",
            )
        waiting = _Waiting(need, moved)
        self._waiting.append(waiting)
        self._start_those_that_fit()
        if not waiting.turn.done():
            await self._wait(waiting, while_waiting)
        try:
            yield
        finally:
            self._leave(need)

    async def _wait(self, waiting: _Waiting, while_waiting: Callable[[], Awaitable[NoReturn]]) -> None:
        if len(self._waiting) > self._max_waiting:
            self._waiting.remove(waiting)
            self._tell()
            raise QueueFull(f"{len(self._running)} jobs run and {len(self._waiting)} wait already; try again later")
        self._tell()
        turn = waiting.turn
        watch: asyncio.Future[None] = asyncio.ensure_future(while_waiting())
        try:
            await asyncio.wait({turn, watch}, return_when=asyncio.FIRST_COMPLETED)
            if not turn.done():
                watch.result()  # raises what ended the wait
        except BaseException:
            if turn.done():
                self._leave(waiting.need)
            else:
                self._waiting.remove(waiting)
                self._start_those_that_fit()  # it may have held others back
                self._tell()
            raise
        finally:
            watch.cancel()

    def _leave(self, need: MemoryNeed) -> None:
        self._running.remove(need)
        self._start_those_that_fit()
        self._tell()

    def _start_those_that_fit(self) -> None:
        passed: list[_Waiting] = []
        for waiting in list(self._waiting):
            if len(self._running) >= self._max_running:
                break
            if self._fits(waiting.need):
                self._waiting.remove(waiting)
                self._running.append(waiting.need)
                waiting.turn.set_result(None)
                waiting.moved(None)
                for earlier in passed:
                    earlier.overtaken += 1
            elif waiting.overtaken >= MAX_OVERTAKEN:
                break
            else:
                passed.append(waiting)
        self._tell()

    def _fits(self, need: MemoryNeed) -> bool:
        return self._memory is None or total([*self._running, need]) <= self._memory.bytes

    def _tell(self) -> None:
        self._changed(len(self._running), len(self._waiting))
        for position, waiting in enumerate(self._waiting):
            waiting.moved(position)
