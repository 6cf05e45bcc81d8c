"""All open connections: how many there may be, which goes when there are too many, and their deadlines."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from uvicorn.server import ServerState

from frontend.http.occasional_log import OccasionalLog
from frontend.http.stop import Stop

if TYPE_CHECKING:
    from frontend.http.connection import Connection

_KEPT_FOR_THIS_MACHINE = 16
"""of the places: whoever watches the server from here still reaches it when all the others are at work"""


@dataclass(frozen=True)
class ConnectionLimits:
    """What a connection may take."""

    max_connections: int
    head_seconds: float
    """from its opening, or the first byte of a further request, to the end of the headers"""
    stall_seconds: float
    min_bytes_per_second: float
    """of who reads an answer; see `TransferClock`"""


class Connections(ServerState):
    """uvicorn's record of its connections, with an upper bound.

    A connection is at work from the end of a request's headers until its answer is sent, and rests otherwise. One that
    rests can go when its place is needed, the one that has rested longest first: so silent connections cannot shut
    others out, however many, while an honest one needs its place only for as long as its headers take. No address has a
    bound of its own, as everybody behind one proxy has the same.
    """

    def __init__(self, limits: ConnectionLimits, stop: Stop) -> None:
        super().__init__()
        self.limits = limits
        self.stop = stop
        self._resting: dict[Connection, None] = {}
        """since the longest time first"""
        self._refused = OccasionalLog("connection refused: all are at work")
        self._overdue = OccasionalLog("connection closed: too slow")

    def admit(self, newcomer: "Connection") -> None:
        """Find a place for `newcomer`, which is in `connections` already, or refuse it."""
        at_work = len(self.connections) - 1 - len(self._resting)
        self._resting[newcomer] = None
        places = self.limits.max_connections
        if at_work >= (places if newcomer.is_local else places - _KEPT_FOR_THIS_MACHINE):
            self._refused.warning(client=newcomer.client)
            newcomer.refuse()
        while len(self.connections) > places:
            longest_resting = next(iter(self._resting))
            self.forget(longest_resting)
            longest_resting.drop()

    def rest(self, connection: "Connection") -> None:
        if connection in self.connections:
            self._resting.setdefault(connection)

    def work(self, connection: "Connection") -> None:
        self._resting.pop(connection, None)

    def forget(self, connection: "Connection") -> None:
        self.connections.discard(connection)
        self._resting.pop(connection, None)

    @property
    def has_unsent_bytes(self) -> bool:
        return any(connection.transport.get_write_buffer_size() for connection in self.connections)

    def close_overdue(self, now: float) -> None:
        """Hold every connection to its deadlines. To be called every `CHECK_SECONDS`, with the event loop's time."""
        for connection in cast("list[Connection]", list(self.connections)):
            if late := connection.check(now):
                self._overdue.warning(reason=late, client=connection.client)
