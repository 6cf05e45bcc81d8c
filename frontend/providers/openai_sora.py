"""OpenAI's Videos API: Sora, at OpenAI or at any server that speaks it (https://platform.openai.com/docs/api-reference/videos).

OpenAI itself ended the service on 24 September 2026.
"""

import asyncio
import time
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import numpy as np
from pydantic import SecretStr

from frontend.media.image_encoder import ImageEncoder
from frontend.media.image_header import ImageError
from frontend.media.pixels import fitted_pixels
from frontend.providers.errors import (
    ContentRefused,
    GenerationFailed,
    InvalidAnswer,
    ProviderBilling,
    ProviderError,
    ProviderKeyRefused,
    ProviderUnavailable,
    RequestRefused,
)
from frontend.providers.hosted_model import LANDSCAPE, PORTRAIT, HostedModel, Price
from frontend.providers.provider import Pending, Prediction, Ready
from frontend.providers.request import FittedRequest
from frontend.providers.transport import error_of_loss, error_of_status, one_line, retry_after, uncertain_if

if TYPE_CHECKING:
    from openai import APIConnectionError, APIError, APIStatusError

NAME = "openai"
BASE_URL = "https://api.openai.com/v1"
SORA_2 = HostedModel(
    id="sora-2",
    provider=NAME,
    paths={"text-to-video": "sora-2", "image-to-video": "sora-2"},
    durations=(4, 8, 12),
    resolutions=("720p",),
    aspect_ratios=(LANDSCAPE, PORTRAIT),
    price=Price.flat("0.10"),
    longest_prompt=32_000,
    aliases=("sora", "sora-1", "openai"),
)
SORA_2_PRO = HostedModel(
    id="sora-2-pro",
    provider=NAME,
    paths={"text-to-video": "sora-2-pro", "image-to-video": "sora-2-pro"},
    durations=(4, 8, 12),
    resolutions=("720p", "1080p"),
    aspect_ratios=(LANDSCAPE, PORTRAIT),
    # what goes for 1080p is the larger of the API's sizes, whose price is that of "1024p"
    sizes={("1080p", LANDSCAPE): (1792, 1024), ("1080p", PORTRAIT): (1024, 1792)},
    price=Price.by_resolution(p720="0.30", p1080="0.50"),
    longest_prompt=32_000,
    default_resolution="720p",
)
_SECONDS = 60.0
"""without a byte, until a connection is given up"""
_REFUSED_CODES = ("moderation", "content_policy")
_FIELDS = {"prompt": "prompt", "seconds": "duration", "size": "resolution", "input_reference": "image"}
"""what the API calls them, and what we do"""

P = ParamSpec("P")
T = TypeVar("T")


class Sora:
    """Keeps the `Provider` protocol.

    Args:
        base_url: of any server that speaks the Videos API, with its version.
    """

    name = NAME
    models = (SORA_2, SORA_2_PRO)
    poll_seconds = 10.0

    def __init__(self, key: SecretStr, base_url: str = BASE_URL) -> None:
        from openai import AsyncOpenAI  # takes long, and only servers that use it need it

        # The SDK would send a job again after an answer that got lost, without anything to know it by.
        self._client = AsyncOpenAI(api_key=key.get_secret_value(), base_url=base_url, max_retries=0, timeout=_SECONDS)

    async def close(self) -> None:
        await self._client.close()

    async def submit(self, request: FittedRequest) -> Prediction:
        """See `Provider.submit`."""
        inputs: dict[str, Any] = {
            "prompt": request.prompt,
            "model": request.path,
            "seconds": str(request.duration),
            "size": "{}x{}".format(*request.size),
            # OpenAI always answers at once; of other servers it has to be asked
            "extra_headers": {"Prefer": "respond-async"},
        }
        if request.image is not None:
            reference = await asyncio.to_thread(_reference, request.image.content, *request.size)
            inputs["input_reference"] = ("reference.png", reference, "image/png")
        video = await self._ask(self._client.videos.create, submits=True, **inputs)
        return Prediction(video.id, time.time())

    async def poll(self, prediction: Prediction) -> Pending | Ready:
        """See `Provider.poll`."""
        video = await self._ask(self._client.videos.retrieve, video_id=prediction.id)
        if video.status == "failed":
            code = str(getattr(video.error, "code", ""))
            reason = one_line(str(getattr(video.error, "message", "no reason is given")))
            kind = ContentRefused if code.startswith(_REFUSED_CODES) else GenerationFailed
            raise kind(f"OpenAI: the job failed: {reason}")
        if video.status != "completed":
            return Pending(str(video.status), video.progress if isinstance(video.progress, int) else None)
        url = f"{self._client.base_url}videos/{video.id}/content"
        return Ready(url, metadata={"id": video.id, "size": video.size, "seconds": video.seconds})

    async def fetch(self, ready: Ready, max_bytes: int) -> bytes:
        """See `Provider.fetch`."""
        from httpx2 import HTTPError
        from openai import APIConnectionError, APIStatusError

        download = _quiet(self._client.videos.with_streaming_response.download_content)
        content = bytearray()
        try:
            async with download(str(ready.metadata["id"])) as response:
                async for chunk in response.iter_bytes():
                    content += chunk
                    if len(content) > max_bytes:
                        raise InvalidAnswer(f"the video of OpenAI has more than {max_bytes} bytes")
        except APIConnectionError as lost:
            raise _loss(lost, submits=False) from None
        except APIStatusError as error:
            raise _error_of(error, submits=False) from None
        except HTTPError as lost:
            raise ProviderUnavailable(f"the video of OpenAI did not come whole: {type(lost).__name__}") from None
        return bytes(content)

    async def cancel(self, prediction: Prediction) -> None:
        """Delete the job. Whether one that runs is stopped, OpenAI does not say."""
        await self._ask(self._client.videos.delete, video_id=prediction.id)

    async def _ask(self, method: Callable[..., Any], submits: bool = False, **inputs: Any) -> Any:
        """The object that it answers, which has an id."""
        from openai import APIConnectionError, APIStatusError, BaseModel

        try:
            answer = await _quiet(method)(**inputs)
        except APIConnectionError as lost:
            raise _loss(lost, submits) from None
        except APIStatusError as error:
            raise _error_of(error, submits) from None
        except ValueError:
            answer = None
        if not isinstance(answer, BaseModel) or not getattr(answer, "id", None):
            raise uncertain_if(submits, "OpenAI answered with something that its API does not have")
        return answer


def _quiet(method: Callable[P, T]) -> Callable[P, T]:
    """Without the SDK's warning that OpenAI's own service ends: others speak the same API."""

    def call(*args: P.args, **kwargs: P.kwargs) -> T:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return method(*args, **kwargs)  # a coroutine: the warning comes before it runs

    return call


def _reference(file: bytes, width: int, height: int) -> bytes:
    """A PNG of exactly the video's size, which the API insists on. Raises RequestRefused."""
    try:
        pixels = fitted_pixels(file, width, height)
    except ImageError as error:
        raise RequestRefused(error.message, "image") from None
    return ImageEncoder().encode(np.frombuffer(pixels, np.uint8).reshape(height, width, 3))


def _loss(lost: "APIConnectionError", submits: bool) -> ProviderError:
    cause = lost.__cause__
    return error_of_loss("OpenAI", cause if isinstance(cause, Exception) else lost, submits)


def _error_of(error: "APIStatusError", submits: bool) -> ProviderError:
    """What an answer says that is not a success."""
    made = _told(error, submits)
    made.retry_after = retry_after(error.response.headers)
    return made


def _told(error: "APIStatusError", submits: bool) -> ProviderError:
    status, code = error.status_code, error.code or ""
    said = f"OpenAI: {_message(error)}"
    if status == 401:  # its message has a part of the key
        return ProviderKeyRefused("OpenAI does not take this server's key. Check OPENAI_API_KEY")
    if "billing" in code or "insufficient_quota" in (code, error.type):
        return ProviderBilling(f"{said}. Top up the account at https://platform.openai.com")
    if status == 403:
        return ProviderKeyRefused(f"{said}. Check what OPENAI_API_KEY may do")
    if code.startswith(_REFUSED_CODES):
        return ContentRefused(said, _FIELDS.get(error.param or "", "prompt"))
    if 400 <= status < 500 and status not in (408, 429):
        return RequestRefused(said, _FIELDS.get(error.param or ""))
    return error_of_status(status, said, submits)


def _message(error: "APIError") -> str:
    message = error.body.get("message") if isinstance(error.body, dict) else error.body
    return one_line(str(message or error.message))
