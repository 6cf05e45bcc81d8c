"""What comes before the routes of a demonstration server: keys, and answers that tests want instead."""

from collections.abc import Callable
from typing import Any

from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from frontend.providers.demo.jobs import DemoJobs, Request

Kind = Callable[[str, str], Request | None]
"""of a request, by its method and path; None for what nothing is counted of"""
Refusal = Callable[[HttpRequest], Response | None]
"""to a request without the right key"""


class Gate:
    """ASGI middleware."""

    def __init__(self, app: ASGIApp, jobs: DemoJobs, kind: Kind, refusal: Refusal) -> None:
        self._app = app
        self._jobs = jobs
        self._kind = kind
        self._refusal = refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        kind = self._kind(scope["method"], scope["path"])
        answer = self._jobs.next_answer(kind) if kind else None
        answer = answer or self._refusal(HttpRequest(scope))
        await (answer or self._app)(scope, receive, send)


class Cut(Response):
    """An answer in whose middle the connection is lost."""

    def __init__(self, status: int = 200, content: bytes = b"{", **options: Any) -> None:
        super().__init__(content, status, {"content-length": str(len(content) + 1000)}, **options)
