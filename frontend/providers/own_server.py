"""A Tritonreel server, for programs that have videos made by its own models: over HTTP, wherever it runs."""

import base64
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from frontend.providers.errors import (
    GenerationFailed,
    InvalidAnswer,
    ProviderError,
    ProviderKeyRefused,
    RequestRefused,
)
from frontend.providers.hosted_model import Operation
from frontend.providers.provider import Pending, Prediction, Ready
from frontend.providers.request import VideoRequest
from frontend.providers.transport import Transport, one_line
from protocol.errors import InvalidRequest

NAME = "local"
BASE_URL = "http://127.0.0.1:8000"
_SERVER = "the Tritonreel server"
_CUSTOMER = 1
"""whose bucket nothing is put into: the file itself is fetched"""
_SETTINGS = {
    "duration": "duration_seconds",
    "resolution": "resolution",
    "aspect_ratio": "aspect_ratio",
    "negative_prompt": "negative_prompt",
    "seed": "seed",
    "generate_audio": "generate_audio",
    "enhance_prompt": "enhance_prompt",
    "source": "video_id",
}
"""fields of a `VideoRequest`, and what `/video/generate` calls them"""
_FIELDS = {f"settings.video.{theirs}": ours for ours, theirs in _SETTINGS.items()} | {
    "settings.video.model": "model",
    "settings.video.strict": "strict",
    "input_image_url": "image_data",
    "source": "video",
}


@dataclass(frozen=True, kw_only=True)
class ServerRequest:
    """A video that is wanted of the server."""

    path: str
    """of its route"""
    body: Mapping[str, Any]
    key: str = field(default_factory=lambda: uuid.uuid4().hex)
    """however often it is sent with that, there is one job"""
    changes: tuple[str, ...] = ()
    """what was asked for and has no effect, a sentence each"""

    @property
    def addressee(self) -> str:
        """See `Addressed`."""
        return _SERVER


def request_for(wanted: VideoRequest, operation: Operation, model: str | None, *, strict: bool) -> ServerRequest:
    """One video, by `model`, or by the server's first that can do what is asked.

    Raises:
        InvalidRequest: no model of a server can do that.
    """
    if operation == "video-to-video":
        raise InvalidRequest("models of a Tritonreel server do no video-to-video", "operation_type")
    changes = ("audio_base64 has no effect: the models take none",) if wanted.audio else ()
    if strict and changes:
        raise InvalidRequest(f"{changes[0]} (strict is set)", "audio_base64")
    path = "/video/extend" if operation == "video-extension" else "/video/generate"
    return ServerRequest(path=path, body=_body(wanted, model or NAME, strict=strict), changes=changes)


class OwnServer:
    """Keeps the `Provider` protocol.

    Args:
        environment: has `TRITONREEL_URL`, and the `TRITONREEL_API_KEY` of a server that asks for one.
    """

    name = _SERVER
    models = ()
    poll_seconds = 0.5

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._url = (environment.get("TRITONREEL_URL") or BASE_URL).rstrip("/")
        key = environment.get("TRITONREEL_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._transport = Transport(_SERVER, self._url, lambda: headers, _explain)

    async def close(self) -> None:
        await self._transport.close()

    async def submit(self, request: ServerRequest) -> Prediction:
        """See `Provider.submit`. It costs nothing, and is known by its key: it can be sent again."""
        headers = {"Prefer": "respond-async", "Idempotency-Key": request.key}
        answer = await self._transport.post(request.path, request.body, more_headers=headers)
        try:
            return Prediction(str(answer["data"]["id"]), time.time())
        except (KeyError, TypeError):
            raise InvalidAnswer(f"{self._url} is no Tritonreel server, or an old one: check TRITONREEL_URL") from None

    async def poll(self, prediction: Prediction) -> Pending | Ready:
        """See `Provider.poll`; `metadata` is the server's video object, see `GET /v1/videos/{id}`."""
        video = await self._transport.get(f"/v1/videos/{prediction.id}")
        match video.get("status"):
            case "completed":
                url = f"{self._url}/v1/videos/{prediction.id}/content"
                return Ready(url, self._transport.headers(), metadata=video)
            case "failed":
                reason = (video.get("error") or {}).get("message") or "no reason is given"
                raise GenerationFailed(f"{_SERVER}: {one_line(str(reason))}")
            case status:
                return Pending(str(status), video.get("progress", 0))

    async def fetch(self, ready: Ready, max_bytes: int) -> bytes:
        """See `Provider.fetch`."""
        return await self._transport.fetch(ready, max_bytes)

    async def cancel(self, prediction: Prediction) -> None:
        """Delete the job, which stops before its next step."""
        await self._transport.delete(f"/v1/videos/{prediction.id}")


def _body(request: VideoRequest, model: str, *, strict: bool) -> dict[str, Any]:
    settings = {theirs: getattr(request, ours) for ours, theirs in _SETTINGS.items()}
    given = {name: value for name, value in settings.items() if value is not None}
    body = {
        "prompt": request.prompt,
        "customer_id": _CUSTOMER,
        "settings": {"video": {"model": model, "strict": strict, **given}},
    }
    if request.image is None:
        return body
    file = base64.b64encode(request.image.content).decode()
    return body | {"input_image_url": f"data:{request.image.media_type};base64,{file}"}


def _explain(response: httpx.Response) -> ProviderError | None:
    """See `Transport`: the server's own words, where it says what the request should be."""
    if response.status_code == 401:
        return ProviderKeyRefused(f"{_SERVER} does not take this key. Check TRITONREEL_API_KEY")
    if response.status_code not in (400, 404, 413, 422, 501):
        return None
    try:
        error = response.json()["error"]
        message, field = str(error["message"]), error.get("param")
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return RequestRefused(one_line(message), _FIELDS.get(field, field))
