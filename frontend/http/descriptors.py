"""How many files and sockets this process may have open, and what happens when there are no more."""

import asyncio
import errno
import resource
from typing import Any

from frontend.http.occasional_log import OccasionalLog

ACCEPTED_AT_ONCE = 32
"""connections that the event loop accepts in one turn"""
_ON_THEIR_WAY = 4 * ACCEPTED_AT_ONCE
"""accepted beyond their bound: one turn each accepts a connection, makes its transport, admits it and closes another"""
_FOR_OTHER_THINGS = 128
"""the log, Triton, pipes, files that are read"""
_EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


def connections_possible(wanted: int) -> int:
    """How many connections, `wanted` at most, fit the limit on descriptors; raises the limit where it may be raised."""
    needed = wanted + _ON_THEIR_WAY + _FOR_OTHER_THINGS
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return wanted
    if soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return min(wanted, max(soft - _ON_THEIR_WAY - _FOR_OTHER_THINGS, soft // 4))


class LoopErrors:
    """asyncio's exception handler, for `loop.set_exception_handler`.

    Without descriptors asyncio reports every connection that it cannot accept, with a traceback, hundreds of times a
    second. It tries again by itself, so that one line in a while says enough.
    """

    def __init__(self) -> None:
        self._exhausted = OccasionalLog("no descriptors left: new connections wait")

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        if isinstance(error, OSError) and error.errno in _EXHAUSTED:
            self._exhausted.warning(reason=error.strerror)
        else:
            loop.default_exception_handler(context)
