"""The end of the server: requests that it does not live to answer are told so."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from frontend.errors import ServerStopping
from frontend.http.errors import error_response


class Stop:
    """Whether the server was told to stop."""

    begun = False

    def begin(self) -> None:
        self.begun = True


class StopMiddleware:
    """Answers 503 to requests that come after the stop began, and to those that are cancelled because of it."""

    def __init__(self, app: ASGIApp, *, stop: Stop) -> None:
        self._app = app
        self._stop = stop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if self._stop.begun:
            await _refuse(scope, receive, send)
            return
        answering = False

        async def send_and_note(message: Message) -> None:
            nonlocal answering
            answering = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if answering or not self._stop.begun or task is None:
                raise
            task.uncancel()
            await _refuse(scope, receive, send)


async def _refuse(scope: Scope, receive: Receive, send: Send) -> None:
    await error_response(ServerStopping("The server is stopping: send the request again"))(scope, receive, send)
