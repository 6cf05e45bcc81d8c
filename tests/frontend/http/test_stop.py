import asyncio
import json
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from frontend.http.stop import Stop, StopMiddleware


class Request:
    """One request through the middleware, to an application that waits for ever."""

    def __init__(self, stop: Stop, *, answer_begun: bool = False) -> None:
        self.sent: list[Any] = []
        self.reached = asyncio.Event()
        self._answer_begun = answer_begun
        answered = StopMiddleware(self._app, stop=stop)({"type": "http"}, self._receive, self._send)
        self.task = asyncio.create_task(answered)

    async def _app(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.reached.set()
        if self._answer_begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        await asyncio.Event().wait()

    async def _receive(self) -> Message:
        raise NotImplementedError

    async def _send(self, message: Message) -> None:
        self.sent.append(message)


async def test_what_is_cancelled_by_the_stop_is_answered() -> None:
    stop = Stop()
    request = Request(stop)
    await request.reached.wait()
    stop.begin()
    request.task.cancel()
    await request.task
    assert request.sent[0]["status"] == 503
    assert (b"retry-after", b"5") in request.sent[0]["headers"]
    assert json.loads(request.sent[1]["body"])["error"]["code"] == "server_stopping"


async def test_what_comes_after_it_does_not_reach_the_application() -> None:
    stop = Stop()
    stop.begin()
    request = Request(stop)
    await request.task
    assert request.sent[0]["status"] == 503
    assert not request.reached.is_set()


@pytest.mark.parametrize(("begun", "answer_begun"), [(False, False), (True, True)])
async def test_other_cancellations_stay_what_they_are(begun: bool, answer_begun: bool) -> None:
    stop = Stop()
    request = Request(stop, answer_begun=answer_begun)
    await request.reached.wait()
    if begun:
        stop.begin()
    request.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request.task
    assert [message["status"] for message in request.sent] == [200] * answer_begun
