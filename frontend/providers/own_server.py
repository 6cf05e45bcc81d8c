"""A Tritonreel server, for programs that have videos made by its own models: over HTTP, wherever it runs."""

import asyncio
import base64
import uuid
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import httpx

from frontend.providers.engine import DONE, DOWNLOADING, POLLED, POLLING, SUBMITTING, Tell, insist, to_its_end
from frontend.providers.errors import (
    GenerationFailed,
    InvalidAnswer,
    ProviderDeadline,
    ProviderError,
    ProviderKeyRefused,
    RequestRefused,
)
from frontend.providers.hosted_model import Operation
from frontend.providers.provider import Ready
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
_POLL_SECONDS = 0.5
_LAST_SECONDS = 5.0


@dataclass(frozen=True)
class MadeThere:
    """A video of the server."""

    content: bytes
    """MP4"""
    video: Mapping[str, Any]
    """the server's video object, see `GET /v1/videos/{id}`"""
    url: str
    """where the server has it; its key is needed"""
    changes: tuple[str, ...]
    """what was asked for and is done otherwise, a sentence each"""


class OwnServer:
    """Has a server make videos. Close it with `aclose`.

    Args:
        environment: has `TRITONREEL_URL`, and the `TRITONREEL_API_KEY` of a server that asks for one.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._url = (environment.get("TRITONREEL_URL") or BASE_URL).rstrip("/")
        key = environment.get("TRITONREEL_API_KEY")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._transport = Transport(_SERVER, self._url, lambda: headers, _explain)

    async def aclose(self) -> None:
        await self._transport.close()

    async def make(
        self,
        request: VideoRequest,
        operation: Operation,
        model: str | None,
        *,
        strict: bool,
        deadline_seconds: float,
        poll_seconds: float | None,
        tell: Tell,
    ) -> MadeThere:
        """One video, by `model`, or by the first that can do what is asked. Cancelling this stops it there.

        Raises:
            InvalidRequest: its models cannot do that.
            ProviderError: see the tree in `frontend.providers.errors`.
        """
        if operation == "video-to-video":
            raise InvalidRequest("models of a Tritonreel server do no video-to-video", "operation_type")
        unheard = ("audio_base64 has no effect: the models take none",) if request.audio else ()
        if strict and unheard:
            raise InvalidRequest(f"{unheard[0]} (strict is set)", "audio_base64")
        path = "/video/extend" if operation == "video-extension" else "/video/generate"
        body, job_id = _body(request, model or NAME, strict=strict), ""

        async def submit() -> None:
            nonlocal job_id
            job_id = await self._submit(path, body)

        try:
            async with asyncio.timeout(deadline_seconds):
                await tell(SUBMITTING, f"Submitting to {_SERVER}")
                await to_its_end(submit())
                video = await self._wait(job_id, poll_seconds or _POLL_SECONDS, tell)
                await tell(DOWNLOADING, "Downloading the video")
                url = f"{self._url}/v1/videos/{job_id}/content"
                ready = Ready(url, self._transport.headers())
                content = await insist(NAME, lambda: self._transport.fetch(ready, 2**30))
        except TimeoutError:
            await self._stop(job_id)
            raise ProviderDeadline(
                f"{_SERVER} did not finish the video within {deadline_seconds:g} s", prediction_id=job_id or None
            ) from None
        except ProviderError:  # it has ended there, or what it made can still be fetched
            raise
        except BaseException:
            await self._stop(job_id)
            raise
        await tell(DONE, "The video is done")
        return MadeThere(content, video, url, (*video["warnings"], *unheard))

    async def _submit(self, path: str, body: Mapping[str, Any]) -> str:
        """Id of the job; however often it has to be sent, there is one."""
        headers = {"Prefer": "respond-async", "Idempotency-Key": uuid.uuid4().hex}
        answer = await insist(NAME, lambda: self._transport.post(path, body, more_headers=headers))
        try:
            return str(answer["data"]["id"])
        except (KeyError, TypeError):
            raise InvalidAnswer(f"{self._url} is no Tritonreel server, or an old one: check TRITONREEL_URL") from None

    async def _wait(self, job_id: str, pause: float, tell: Tell) -> Mapping[str, Any]:
        while True:
            video: dict[str, Any] = await insist(NAME, lambda: self._transport.get(f"/v1/videos/{job_id}"))
            match video.get("status"):
                case "completed":
                    return video
                case "failed":
                    reason = (video.get("error") or {}).get("message") or "no reason is given"
                    raise GenerationFailed(f"{_SERVER}: {one_line(str(reason))}", prediction_id=job_id)
            await tell(POLLING + (POLLED - POLLING) * video.get("progress", 0) / 100, str(video.get("status")))
            await asyncio.sleep(pause)

    async def _stop(self, job_id: str) -> None:
        if not job_id:
            return
        with suppress(ProviderError, TimeoutError):
            async with asyncio.timeout(_LAST_SECONDS):
                await self._transport.delete(f"/v1/videos/{job_id}")


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
