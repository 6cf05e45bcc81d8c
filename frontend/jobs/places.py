"""The places in which a process runs jobs, given to those that wait in the order of their turns."""

import asyncio
import heapq
from itertools import count

Turn = tuple[int, int, str]
"""of a job: as `frontend.jobs.limits` says, then by its creation in microseconds, then by its id"""


class Places:
    """Like a semaphore whose waiters have an order.

    Args:
        number: of the jobs that run at the same time.
    """

    def __init__(self, number: int) -> None:
        self.taken = 0
        self._number = number
        self._waiting: list[tuple[Turn, int, asyncio.Future[None]]] = []
        self._arrivals = count()

    @property
    def is_full(self) -> bool:
        return self.taken >= self._number

    def take(self) -> bool:
        """Take a place at once, where one is free and nobody waits for it."""
        if self.is_full or any(not waiter.done() for *_, waiter in self._waiting):
            return False
        self.taken += 1
        return True

    async def acquire(self, turn: Turn) -> None:
        """Wait for a place; the least turn gets the next one."""
        if self.take():
            return
        waiter = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (turn, next(self._arrivals), waiter))
        try:
            await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():  # it was given a place while it was cancelled
                self.release()
            raise

    def release(self) -> None:
        """Give a place back, to the one that is next."""
        while self._waiting:
            _, _, waiter = heapq.heappop(self._waiting)
            if not waiter.done():
                waiter.set_result(None)  # the place stays taken, and is its
                return
        self.taken -= 1
