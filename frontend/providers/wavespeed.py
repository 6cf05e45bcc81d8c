"""WaveSpeed: HunyuanVideo-1.5 and LTX-2 (https://wavespeed.ai/docs)."""

import base64
import time
from typing import Any

import httpx
from pydantic import SecretStr

from frontend.providers.errors import (
    ContentRefused,
    InvalidAnswer,
    ProviderBilling,
    ProviderBusy,
    ProviderError,
    ProviderKeyRefused,
    RequestRefused,
    SubmissionUncertain,
)
from frontend.providers.hosted_model import LANDSCAPE, PORTRAIT, HostedModel, Price
from frontend.providers.provider import Pending, Prediction, Ready
from frontend.providers.request import FittedRequest
from frontend.providers.transport import Transport, failure, mentions, said

NAME = "wavespeed"
BASE_URL = "https://api.wavespeed.ai"
HUNYUAN = HostedModel(
    id="hunyuan-video-1.5",
    provider=NAME,
    paths={
        "text-to-video": "wavespeed-ai/hunyuan-video-1.5/text-to-video",
        "image-to-video": "wavespeed-ai/hunyuan-video-1.5/image-to-video",
    },
    durations=(5, 8, 10),
    resolutions=("480p", "720p"),
    aspect_ratios=(LANDSCAPE, PORTRAIT),
    price=Price.by_resolution(p480="0.02", p720="0.04"),
    options=frozenset({"negative_prompt", "seed"}),
    aliases=("wavespeed-ai/hunyuan-video-1.5/text-to-video", "wavespeed-ai/hunyuan-video-1.5"),
)


def _ltx_2(name: str, durations: tuple[int, ...], dollars: str) -> HostedModel:
    """A model that makes videos with sound, at `dollars` for a second."""
    path = f"lightricks/{name}"
    return HostedModel(
        id=name,
        provider=NAME,
        paths={"text-to-video": f"{path}/text-to-video", "image-to-video": f"{path}/image-to-video"},
        durations=durations,
        resolutions=("1080p",),
        aspect_ratios=(LANDSCAPE,),
        price=Price.flat(dollars),
        options=frozenset({"generate_audio"}),
        aliases=(f"{path}/text-to-video", path),
    )


LTX_2_PRO = _ltx_2("ltx-2-pro", (6, 8, 10), "0.06")
LTX_2_FAST = _ltx_2("ltx-2-fast", (6, 8, 10, 12, 14, 16, 18, 20), "0.04")
LTX_2_RETAKE = HostedModel(
    id="ltx-2-retake",
    provider=NAME,
    paths={"video-to-video": "lightricks/ltx-2-retake"},
    durations=(6, 8, 10, 12, 14, 16, 18, 20),
    resolutions=("1080p",),
    aspect_ratios=(LANDSCAPE,),
    price=Price.flat("0.10"),
    aliases=("lightricks/ltx-2-retake",),
)
_TOLD = ("has_nsfw_contents", "created_at", "timings")
_FAILED = ("failed", "cancelled", "timeout", "deleted")
_REFUSED_WORDS = ("nsfw", "content policy", "moderation", "sensitive")


class WaveSpeed:
    """Keeps the `Provider` protocol.

    Args:
        base_url: of any server that speaks WaveSpeed's protocol, version 3.
    """

    name = NAME
    models = (HUNYUAN, LTX_2_PRO, LTX_2_FAST, LTX_2_RETAKE)
    poll_seconds = 5.0  # "at least, for videos"

    def __init__(self, key: SecretStr, base_url: str = BASE_URL) -> None:
        self.transport = Transport(
            NAME, base_url, lambda: {"Authorization": f"Bearer {key.get_secret_value()}"}, _error_of
        )

    async def close(self) -> None:
        await self.transport.close()

    async def submit(self, request: FittedRequest) -> Prediction:
        """See `Provider.submit`."""
        answer = await self.transport.post(f"/api/v3/{request.path}", _inputs(request), submits=True)
        try:
            return Prediction(str(_data(answer)["id"]), time.time())
        except (InvalidAnswer, KeyError):
            raise SubmissionUncertain(
                "WaveSpeed has not told the job's id; it may have been taken and charged, so it is not sent again"
            ) from None

    async def poll(self, prediction: Prediction) -> Pending | Ready:
        """See `Provider.poll`. A job that failed is an answer like any other."""
        data = _data(await self.transport.get(f"/api/v3/predictions/{prediction.id}/result"))
        status = str(data.get("status"))
        if status in _FAILED:
            raise failure("WaveSpeed", str(data.get("error") or status), _REFUSED_WORDS, status)
        if status != "completed":
            return Pending(status)
        outputs = data.get("outputs")
        if not isinstance(outputs, list) or not outputs or not isinstance(outputs[0], str):
            raise InvalidAnswer("WaveSpeed completed the job without a video")
        told: dict[str, Any] = {name: data[name] for name in _TOLD if name in data}
        return Ready(outputs[0], metadata=told)

    async def fetch(self, ready: Ready, max_bytes: int) -> bytes:
        """See `Provider.fetch`."""
        return await self.transport.fetch(ready, max_bytes)

    async def cancel(self, prediction: Prediction) -> None:
        """Delete the job; one that runs may go on for a while."""
        await self.transport.delete(f"/api/v3/predictions/{prediction.id}")


def _inputs(request: FittedRequest) -> dict[str, Any]:
    """What the model takes, and nothing else: what becomes of an unknown field is not documented."""
    inputs: dict[str, Any] = {"prompt": request.prompt}
    if request.model is LTX_2_RETAKE:
        return inputs | {"video": request.source}
    inputs["duration"] = request.duration
    if request.model is HUNYUAN:
        width, height = request.size
        inputs |= {"size": f"{width}*{height}", "seed": -1 if request.seed is None else request.seed}
        if request.negative_prompt:
            inputs["negative_prompt"] = request.negative_prompt
    elif request.generate_audio is not None:
        inputs["generate_audio"] = request.generate_audio
    if request.image is not None:
        inputs["image"] = f"data:{request.image.media_type};base64,{base64.b64encode(request.image.content).decode()}"
    return inputs


def _data(answer: Any) -> dict[str, Any]:
    data = answer.get("data") if isinstance(answer, dict) else None
    if not isinstance(data, dict):
        raise InvalidAnswer("WaveSpeed answered without data")
    return data


def _error_of(response: httpx.Response) -> ProviderError | None:
    """What an answer says that is not a success; statuses above 500 are the transport's."""
    if response.is_success or response.status_code >= 500:
        return None
    message = _message(response)
    said = f"WaveSpeed: {message}"
    if "credit" in message.lower() or "balance" in message.lower() or response.status_code == 402:
        return ProviderBilling(f"{said}. Top up the account at https://wavespeed.ai")
    match response.status_code:
        case 401 | 403:
            return ProviderKeyRefused(f"{said}. Check WAVESPEED_API_KEY")
        case 429:
            return ProviderBusy(said)
        case 400 | 422:
            return ContentRefused(said, "prompt") if mentions(message, _REFUSED_WORDS) else RequestRefused(said)
    return InvalidAnswer(f"WaveSpeed answered with {response.status_code}: {message}")


def _message(response: httpx.Response) -> str:
    try:
        message = response.json()["message"]
    except (ValueError, KeyError, TypeError):
        message = response.text
    return said(response, str(message))
