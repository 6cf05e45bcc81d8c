"""The HTTP server: uvicorn, whose connections are bounded and which answers before it goes."""

import asyncio
import logging
import socket
from collections.abc import Callable

import structlog
import uvicorn
from fastapi import FastAPI

from frontend.http.connection import CHECK_SECONDS, Connection
from frontend.http.connections import ConnectionLimits, Connections
from frontend.http.descriptors import ACCEPTED_AT_ONCE, LoopErrors, connections_possible
from frontend.http.stop import Stop
from frontend.settings import Settings

_TICK_SECONDS = 0.1
"""uvicorn's"""
_TICKS_PER_CHECK = round(CHECK_SECONDS / _TICK_SECONDS)
_FLUSH_SECONDS = 1.5
"""for the last answers to leave"""
_BACKLOG = 1024
"""connections that the kernel completes while the event loop is busy; beyond, it lets a client try again in a second"""

_log = structlog.get_logger(__name__)
_uvicorn_log = logging.getLogger("uvicorn.error")


class Server(uvicorn.Server):
    """Serves `app`, as `frontend.app.create_app` makes it."""

    def __init__(self, app: FastAPI, settings: Settings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                loop="asyncio",
                http=Connection,
                ws="none",
                log_config=None,
                backlog=ACCEPTED_AT_ONCE,
                timeout_keep_alive=settings.keep_alive_timeout_seconds,
                timeout_graceful_shutdown=settings.shutdown_timeout_seconds,
            )
        )
        max_connections = connections_possible(settings.max_connections)
        if max_connections < settings.max_connections:
            _log.warning("fewer connections than set: the process may not open more files", connections=max_connections)
        self._stop: Stop = app.state.stop
        limits = ConnectionLimits(
            max_connections=max_connections,
            head_seconds=settings.request_head_timeout_seconds,
            stall_seconds=settings.transfer_stall_seconds,
            min_bytes_per_second=settings.transfer_min_bytes_per_second,
        )
        self._connections = Connections(limits, self._stop)
        self.server_state = self._connections

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(LoopErrors())
        await super().startup(sockets)
        for server in self.servers:
            for listening in server.sockets:
                with listening.dup() as same:  # asyncio's own backlog is also how many it accepts in one turn
                    same.listen(_BACKLOG)

    async def on_tick(self, counter: int) -> bool:
        if counter % _TICKS_PER_CHECK == 0:
            self._check_connections()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more connections, let requests finish for a while, and answer 503 to those that do not.

        Kept-alive connections stay open until then: a request that is on its way on one of them gets its 503 as well.
        """
        _uvicorn_log.info("Shutting down")
        for listening in [*self.servers, *(sockets or ())]:
            listening.close()
        self._stop.begin()
        await asyncio.sleep(_TICK_SECONDS)
        tasks = self._connections.tasks
        await self._wait_until(lambda: not tasks, self.config.timeout_graceful_shutdown or 0)
        if tasks:
            _uvicorn_log.warning("%d requests are not done and are answered with 503", len(tasks))
        for task in list(tasks):
            task.cancel()
        await self._wait_until(lambda: not tasks and not self._connections.has_unsent_bytes, _FLUSH_SECONDS)
        for connection in list(self._connections.connections):
            connection.transport.close()
        if not self.force_exit:
            await self.lifespan.shutdown()

    async def _wait_until(self, condition: Callable[[], bool], seconds: float) -> None:
        deadline = asyncio.get_running_loop().time() + seconds
        while not condition() and not self.force_exit and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(_TICK_SECONDS / 2)
            self._check_connections()

    def _check_connections(self) -> None:
        self._connections.close_overdue(asyncio.get_running_loop().time())
