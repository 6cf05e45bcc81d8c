"""A client of `generate` that takes what is sent to it as fast as a test says."""

import asyncio


class SlowClient:
    """Whoever sends to it waits at its gate, which is open at first."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        """what sending to it raises"""
        self.warnings: list[str] = []

    async def reached(self) -> None:
        """Returns when it takes something. Raises `error`."""
        await self.gate.wait()
        if self.error is not None:
            raise self.error
