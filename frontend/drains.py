"""Draining: which servers get no new jobs, kept beside the jobs, so that it survives the frontend and counts for all
frontends that share them."""

import asyncio
from contextlib import suppress

from frontend.errors import JobsUnavailable
from frontend.generators.endpoint import Endpoint
from frontend.generators.pool import Pool
from frontend.jobs.service import JobService

POLL_SECONDS = 2.0
"""until other frontends have heard of it"""


class Drains:
    """Tells the servers of `pool` what is kept in the database of `jobs`."""

    def __init__(self, pool: Pool, jobs: JobService) -> None:
        self._pool = pool
        self._jobs = jobs
        self._following: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Before jobs go on, so that none goes to a server that is drained already."""
        await self._read()
        self._following = asyncio.create_task(self._follow())

    async def close(self) -> None:
        if self._following is not None:
            self._following.cancel()
            await asyncio.gather(self._following, return_exceptions=True)

    async def drain(self, name: str) -> Endpoint:
        """Let the server's jobs end, and send it no more. Raises ServerNotFound, JobsUnavailable."""
        return await self._set(name, True)

    async def resume(self, name: str) -> Endpoint:
        """Send it jobs again. Raises ServerNotFound, JobsUnavailable."""
        return await self._set(name, False)

    async def _set(self, name: str, draining: bool) -> Endpoint:
        endpoint = self._pool.find(name)
        await self._jobs.set_drained(name, draining)
        self._pool.drain(await self._jobs.drained())
        return endpoint

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self._read()

    async def _read(self) -> None:
        with suppress(JobsUnavailable):  # the log says it, and what was known stays
            self._pool.drain(await self._jobs.drained())
