"""The request bodies that are in memory, which are bounded all together."""

import asyncio
from itertools import count

from frontend.errors import TooManyUploads

_UNCOUNTED_BYTES = 64 * 1024
"""of each body: a prompt must get through while others send images"""


class HeldBodies:
    """Counts the bytes of bodies that are held, and lets no more than about `max_bytes` be.

    When they are full, bodies on their way in pause. Those of them that came last are given up where nothing becomes
    free for `wait_seconds`, as many as the others need to arrive. (Were each given up by itself, then many that come
    at the same time would all fill a part of the room and all be refused.)
    """

    def __init__(self, max_bytes: int, wait_seconds: float) -> None:
        self._free = max_bytes
        self._wait_seconds = wait_seconds
        self._waiting: dict[HeldBody, asyncio.Future[bool]] = {}
        self._given_up: set[HeldBody] = set()
        self._numbers = count()

    def begin(self, expected_bytes: int) -> "HeldBody":
        """A body of at most `expected_bytes` that is about to be read."""
        return HeldBody(self, next(self._numbers), expected_bytes)

    async def wait_for_room(self, body: "HeldBody") -> None:
        """Return once more of `body` may be read. Raises TooManyUploads."""
        if self._free > 0:
            return
        room: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._waiting[body] = room
        try:
            while not room.done():
                await asyncio.wait((room,), timeout=self._wait_seconds)
                if not room.done():
                    self._give_up_newest()
        finally:
            del self._waiting[body]
        if not room.result():
            raise TooManyUploads("The server holds as many uploads as it can: send this one again later")

    def take(self, num_bytes: int) -> None:
        self._free -= num_bytes

    def give_back(self, body: "HeldBody", num_bytes: int) -> None:
        self._given_up.discard(body)
        self._free += num_bytes
        if self._free > 0:
            for room in self._waiting.values():
                if not room.done():
                    room.set_result(True)

    def _give_up_newest(self) -> None:
        """Refuse of the waiting bodies the newest, until what is free then is enough for the older ones."""
        going_on = sorted((body for body, room in self._waiting.items() if not room.done()), key=lambda b: b.number)
        free = self._free + sum(body.counted_bytes for body in self._given_up)  # they have not left yet
        while going_on and free < sum(body.missing_bytes for body in going_on):
            newest = going_on.pop()
            free += newest.counted_bytes
            self._given_up.add(newest)
            self._waiting[newest].set_result(False)


class HeldBody:
    """One request's body, as far as it has arrived."""

    def __init__(self, bodies: HeldBodies, number: int, expected_bytes: int) -> None:
        self._bodies = bodies
        self.number = number
        self.missing_bytes = expected_bytes
        self.num_bytes = 0
        self.counted_bytes = 0

    async def wait_for_room(self) -> None:
        """Return once more of it may be read. Raises TooManyUploads."""
        if self.num_bytes >= _UNCOUNTED_BYTES:
            await self._bodies.wait_for_room(self)

    def add(self, num_bytes: int) -> None:
        """`num_bytes` arrived."""
        self.num_bytes += num_bytes
        self.missing_bytes = max(0, self.missing_bytes - num_bytes)
        counted = max(0, self.num_bytes - _UNCOUNTED_BYTES) - self.counted_bytes
        self.counted_bytes += counted
        self._bodies.take(counted)

    def release(self) -> None:
        """It is not needed any more."""
        counted, self.counted_bytes = self.counted_bytes, 0
        self._bodies.give_back(self, counted)
