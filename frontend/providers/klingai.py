"""KlingAI: the Kling models (https://app.klingai.com/global/dev/document-api)."""

import base64
import time
import uuid
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import SecretStr

from frontend.providers.errors import (
    ContentRefused,
    InvalidAnswer,
    ProviderBilling,
    ProviderBusy,
    ProviderError,
    ProviderKeyRefused,
    ProviderUnavailable,
    RequestRefused,
    SubmissionUncertain,
)
from frontend.providers.hosted_model import LANDSCAPE, PORTRAIT, SQUARE, HostedModel, Operation, Price
from frontend.providers.provider import Pending, Prediction, Ready
from frontend.providers.request import FittedRequest, InputImage
from frontend.providers.transport import Transport, failure, said

NAME = "klingai"
BASE_URL = "https://api-singapore.klingai.com"

_ROUTES: dict[Operation, str] = {
    "text-to-video": "text2video",
    "image-to-video": "image2video",
    "video-extension": "video-extend",
}
_MODES = {"720p": "std", "1080p": "pro"}
_FROM_IMAGE: dict[str, Any] = {"aspect_ratios": ()}
_EXTENSION: dict[str, Any] = {"aspect_ratios": (), "durations": (5,)}


def _model(
    name: str, resolutions: tuple[str, ...], price: Price, *, extends: dict[str, Any] | None = None, **more: Any
) -> HostedModel:
    """A model that takes what all of them take.

    Args:
        price: of the units that it takes, in November 2026.
        extends: what is otherwise in extensions of its videos; None if these cannot be extended.
    """
    otherwise: dict[Operation, dict[str, Any]] = {"image-to-video": _FROM_IMAGE}
    if extends is not None:
        otherwise["video-extension"] = _EXTENSION | extends
    more.setdefault("options", frozenset({"negative_prompt"}))
    return HostedModel(
        id=name,
        provider=NAME,
        paths=dict.fromkeys(("text-to-video", *otherwise), name),
        durations=(5, 10),
        resolutions=resolutions,
        aspect_ratios=(LANDSCAPE, PORTRAIT, SQUARE),
        price=price,
        longest_prompt=2500,
        otherwise=otherwise,
        stops=False,
        **more,
    )


KLING_V1 = _model("kling-v1", ("720p",), Price.flat("0.028"), extends={"options": frozenset()}, aliases=("kling",))
KLING_V1_6 = _model("kling-v1-6", ("720p", "1080p"), Price.by_resolution(p720="0.056", p1080="0.098"), extends={})
KLING_V2_MASTER = _model("kling-v2-master", ("720p",), Price.flat("0.28"))
KLING_V2_5_TURBO = _model("kling-v2-5-turbo", ("1080p",), Price.flat("0.07"))
KLING_V2_6 = _model(
    "kling-v2-6",
    ("1080p",),
    Price.flat("0.07", audio_factor=2),
    options=frozenset({"negative_prompt", "generate_audio"}),
)

_DOLLARS_PER_UNIT = 0.14
_TOKEN_SECONDS, _EARLY_SECONDS = 1800, 5
_MAX_IMAGE_BYTES = 10 * 2**20
_REFUSED_WORDS = ("risk", "policy", "sensitive", "violat")
_KEYS = "Check KLINGAI_ACCESS_KEY and KLINGAI_SECRET_KEY"
_CLOCK = f"{_KEYS}, and the clock of this machine"
_TOP_UP = "Buy units at https://klingai.com"
_ERRORS: dict[int, tuple[type[ProviderError], str]] = {
    1000: (ProviderKeyRefused, _KEYS),
    1001: (ProviderKeyRefused, _KEYS),
    1002: (ProviderKeyRefused, _KEYS),
    1003: (ProviderKeyRefused, _CLOCK),
    1004: (ProviderKeyRefused, _CLOCK),
    1100: (ProviderBilling, "Look after the account at https://klingai.com"),
    1101: (ProviderBilling, _TOP_UP),
    1102: (ProviderBilling, _TOP_UP),
    1103: (ProviderKeyRefused, "The account may not use this"),
    1200: (RequestRefused, ""),
    1201: (RequestRefused, ""),
    1202: (InvalidAnswer, ""),
    1203: (RequestRefused, ""),
    1300: (ContentRefused, ""),
    1301: (ContentRefused, ""),
    1302: (ProviderBusy, ""),
    1303: (ProviderBusy, ""),
    1304: (ProviderKeyRefused, "The account takes no requests from the address of this machine"),
    5000: (ProviderUnavailable, ""),
    5001: (ProviderUnavailable, ""),
    5002: (ProviderUnavailable, ""),
}
"""what each code is, and what to do about it; an answer with one of them is a job that was not taken"""


class KlingAI:
    """Keeps the `Provider` protocol.

    The source of an extension is the `video_id` of a result's metadata: of kling-v1, v1-5 or v1-6, not older than 30
    days. Its model and mode are the source's.

    Args:
        base_url: of any server that speaks KlingAI's protocol.
    """

    name = NAME
    models = (KLING_V1, KLING_V1_6, KLING_V2_MASTER, KLING_V2_5_TURBO, KLING_V2_6)
    poll_seconds = 5.0

    def __init__(self, access_key: SecretStr, secret_key: SecretStr, base_url: str = BASE_URL) -> None:
        self.transport = Transport(
            NAME, base_url, lambda: {"Authorization": f"Bearer {_token(access_key, secret_key)}"}, _error_of
        )

    async def close(self) -> None:
        await self.transport.close()

    async def submit(self, request: FittedRequest) -> Prediction:
        """See `Provider.submit`. A job whose answer was lost is found by the name that it was sent with."""
        route, name = _ROUTES[request.operation], uuid.uuid4().hex
        inputs = _inputs(request) | {"external_task_id": name}
        try:
            answer = await self.transport.post(f"/v1/videos/{route}", inputs, submits=True)
            return Prediction(_task_id(answer), time.time(), route)
        except (SubmissionUncertain, ProviderUnavailable):
            with suppress(ProviderError):
                return Prediction(_task_id(await self._ask(route, name)), time.time(), route)
            raise

    async def poll(self, prediction: Prediction) -> Pending | Ready:
        """See `Provider.poll`. A job that failed is an answer like any other."""
        answer = await self._ask(prediction.route, prediction.id)
        data = answer.get("data") if isinstance(answer, dict) else None
        if not isinstance(data, dict) or not isinstance(data.get("task_status"), str):
            raise InvalidAnswer("KlingAI answered without the status of the job")
        if data["task_status"] == "failed":
            raise failure("KlingAI", str(data.get("task_status_msg") or "no reason is told"), _REFUSED_WORDS)
        return _ready(data) if data["task_status"] == "succeed" else Pending(data["task_status"])

    async def _ask(self, route: str, name: str) -> Any:
        """What it tells of a job by its id, or by the name that it was sent with."""
        return await self.transport.get(f"/v1/videos/{route}/{quote(name, safe='')}")

    async def fetch(self, ready: Ready, max_bytes: int) -> bytes:
        """See `Provider.fetch`."""
        return await self.transport.fetch(ready, max_bytes)

    async def cancel(self, prediction: Prediction) -> None:
        """Nothing: KlingAI has no way to stop a job, which goes on and is charged."""


def _token(access_key: SecretStr, secret_key: SecretStr) -> str:
    """A JWT for one request, so that none is ever near its end."""
    now = int(time.time())
    claims = {"iss": access_key.get_secret_value(), "exp": now + _TOKEN_SECONDS, "nbf": now - _EARLY_SECONDS}
    import jwt  # here, because its cryptography would make every start of the server longer

    return jwt.encode(claims, secret_key.get_secret_value(), algorithm="HS256")


def _task_id(answer: Any) -> str:
    try:
        return str(answer["data"]["task_id"])
    except (KeyError, TypeError):
        raise SubmissionUncertain(
            "KlingAI did not say which job it made of the request; it may be charged, so it is not sent again"
        ) from None


def _inputs(request: FittedRequest) -> dict[str, Any]:
    """Raises RequestRefused for an image that the models do not take."""
    inputs: dict[str, Any] = {"prompt": request.prompt}
    if request.negative_prompt:
        inputs["negative_prompt"] = request.negative_prompt
    if request.operation == "video-extension":
        return inputs | {"video_id": request.source}
    inputs |= {
        "model_name": request.path,
        "mode": _MODES[request.resolution],
        "duration": str(request.duration),
    }
    if request.generate_audio is not None:
        inputs["sound"] = "on" if request.generate_audio else "off"
    if request.image is not None:
        return inputs | {"image": _base64(request.image)}
    return inputs | {"aspect_ratio": request.aspect_ratio}


def _base64(image: InputImage) -> str:
    """Without a `data:` before it, which is refused."""
    if image.media_type not in ("image/jpeg", "image/png"):
        raise RequestRefused(f"KlingAI takes JPEG and PNG images, not {image.media_type}", "image")
    if len(image.content) > _MAX_IMAGE_BYTES:
        raise RequestRefused(f"KlingAI takes images of at most {_MAX_IMAGE_BYTES} bytes", "image")
    return base64.b64encode(image.content).decode()


def _ready(data: dict[str, Any]) -> Ready:
    try:
        video = data["task_result"]["videos"][0]
        url, told = video["url"], {"video_id": video["id"], "duration": _number(video.get("duration"))}
    except (KeyError, IndexError, TypeError):
        url, told = None, {}
    if not isinstance(url, str):
        raise InvalidAnswer("KlingAI completed the job without a video")
    deduction = data.get("final_unit_deduction")
    units = _number(deduction)
    cost = None if units is None else round(units * _DOLLARS_PER_UNIT, 4)
    return Ready(url, cost=cost, source=told["video_id"], metadata=told | {"final_unit_deduction": deduction})


def _number(text: Any) -> float | None:
    """Numbers come as strings."""
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _error_of(response: httpx.Response) -> ProviderError | None:
    """What an answer's code says; it counts whatever the status is."""
    try:
        answer = response.json()
    except ValueError:
        return None
    code = answer.get("code") if isinstance(answer, dict) else None
    if not isinstance(code, int) or code == 0:
        return None
    what = f"KlingAI: {said(response, str(answer.get('message')))} (code {code})"
    if code not in _ERRORS:
        return InvalidAnswer(what) if response.status_code < 500 else None
    kind, advice = _ERRORS[code]
    return kind(f"{what}. {advice}" if advice else what)
