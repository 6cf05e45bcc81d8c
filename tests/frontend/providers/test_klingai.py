"""KlingAI's protocol, as its server has it."""

import base64
import io
import time
from collections import deque
from typing import Any

import httpx
import jwt
import pytest
from PIL import Image
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from frontend.providers import klingai as provider_module
from frontend.providers.demo import klingai as demo
from frontend.providers.demo.gate import Cut
from frontend.providers.engine import HostedVideo
from frontend.providers.errors import (
    ContentRefused,
    GenerationFailed,
    InvalidAnswer,
    ProviderBilling,
    ProviderBusy,
    ProviderError,
    ProviderKeyRefused,
    ProviderUnavailable,
    RequestRefused,
    SubmissionUncertain,
)
from frontend.providers.hosted_model import HostedModel
from frontend.providers.klingai import (
    KLING_V1,
    KLING_V1_6,
    KLING_V2_6,
    KLING_V2_MASTER,
    KlingAI,
)
from frontend.providers.provider import Prediction, Ready
from frontend.providers.request import FittedRequest, InputImage, VideoRequest, fit

from .conftest import KLING_ACCESS, KLING_SECRET, Place


def picture(width: int = 300, height: int = 400, kind: str = "PNG") -> InputImage:
    file = io.BytesIO()
    Image.new("RGB", (width, height)).save(file, kind)
    return InputImage(file.getvalue(), f"image/{kind.lower()}")


def fitted(model: HostedModel = KLING_V1, **wanted: Any) -> FittedRequest:
    return fit(VideoRequest(**{"prompt": "a fox", **wanted}), model)


async def make(place: Place, model: HostedModel = KLING_V1, **wanted: Any) -> HostedVideo[FittedRequest]:
    video = await place.make(fitted(model, **wanted))
    assert video.content[4:8] == b"ftyp"
    return video


def sent(place: Place) -> dict[str, Any]:
    """The fields of the last job, without the name that it was given."""
    return {name: value for name, value in place.jobs.taken[-1].inputs.items() if name != "external_task_id"}


def envelope(code: int, status: int, message: str = "what is wrong") -> JSONResponse:
    return JSONResponse({"code": code, "message": message, "request_id": "1"}, status)


async def test_text_to_video(klingai: Place) -> None:
    video = await make(klingai, aspect_ratio="9:16", duration=10)
    assert sent(klingai) == {
        "prompt": "a fox",
        "model_name": "kling-v1",
        "mode": "std",
        "duration": "10",
        "aspect_ratio": "9:16",
    }
    assert video.prediction.route == "text2video"
    told = dict(video.ready.metadata)
    assert told.pop("video_id") not in ("", video.prediction.id)
    assert told == {"duration": 10.0, "final_unit_deduction": "2"}
    assert klingai.jobs.asked == {"submit": 1, "poll": 3, "download": 1}


async def test_images_go_as_bare_base64_and_give_the_video_its_shape(klingai: Place) -> None:
    image = picture()
    video = await make(klingai, image=image, aspect_ratio="16:9")
    assert base64.b64decode(sent(klingai)["image"], validate=True) == image.content
    assert "aspect_ratio" not in sent(klingai)
    assert klingai.jobs.taken[-1].size == (300, 400)
    assert video.prediction.route == "image2video"
    assert [change.split()[0] for change in video.request.changes] == ["aspect_ratio"]


@pytest.mark.parametrize(
    "image",
    [picture(kind="WEBP"), InputImage(bytes(10 * 2**20 + 1), "image/png"), picture(299, 400), picture(300, 751)],
    ids=["WebP", "large", "small", "narrow"],
)
async def test_images_that_are_not_taken_cost_nothing(klingai: Place, image: InputImage) -> None:
    with pytest.raises(RequestRefused, match=r"image"):
        await make(klingai, image=image)
    assert klingai.jobs.taken == []


async def test_a_video_is_extended_by_its_id_and_not_its_job_s(klingai: Place) -> None:
    first = await make(klingai, KLING_V1_6, negative_prompt="rain")
    with pytest.raises(RequestRefused, match="code 1203"):
        await make(klingai, KLING_V1_6, source=first.prediction.id)
    source = first.ready.metadata["video_id"]
    second = await make(klingai, KLING_V1_6, source=source, prompt="it runs", negative_prompt="rain", duration=10)
    assert sent(klingai) == {"prompt": "it runs", "negative_prompt": "rain", "video_id": source}
    assert second.prediction.route == "video-extend"
    assert [change.split()[0] for change in second.request.changes] == ["duration"]
    assert second.ready.metadata["duration"] == 10.0
    third = await make(klingai, KLING_V1_6, source=second.ready.metadata["video_id"])
    assert third.ready.metadata["duration"] == 15.0
    assert klingai.jobs.asked["submit"] == 4
    assert len(klingai.jobs.taken) == 3


async def test_extensions_of_the_first_model_have_no_negative_prompt(klingai: Place) -> None:
    first = await make(klingai)
    request = fitted(source=first.ready.metadata["video_id"], negative_prompt="rain")
    assert "negative_prompt has no effect" in request.changes[0]
    await klingai.make(request)
    assert "negative_prompt" not in sent(klingai)


async def test_videos_of_newer_models_are_not_extended(klingai: Place) -> None:
    first = await make(klingai, KLING_V2_MASTER)
    assert not KLING_V2_MASTER.can("video-extension")
    with pytest.raises(RequestRefused, match="code 1201"):
        await make(klingai, KLING_V1, source=first.ready.metadata["video_id"])


@pytest.mark.parametrize("model", KlingAI.models, ids=lambda model: model.id)
@pytest.mark.parametrize("duration", [5, 10])
async def test_each_model_costs_what_its_price_says(klingai: Place, model: HostedModel, duration: int) -> None:
    for resolution in model.resolutions:
        video = await make(klingai, model, duration=duration, resolution=resolution)
        assert video.request.changes == ()
        assert sent(klingai)["mode"] == ("std" if resolution == "720p" else "pro")
        assert video.ready.cost == float(video.request.price)
        await make(klingai, model, image=picture(), resolution=resolution)


async def test_extensions_cost_what_their_price_says(klingai: Place) -> None:
    for model in (KLING_V1, KLING_V1_6):
        for resolution in model.resolutions:
            first = await make(klingai, model, resolution=resolution)
            source = first.ready.metadata["video_id"]
            more = await make(klingai, model, source=source, resolution=resolution)
            assert more.ready.cost == float(more.request.price)


@pytest.mark.parametrize(("audio", "sound", "dollars"), [(True, "on", 0.7), (False, "off", 0.35), (None, None, 0.35)])
async def test_sound_is_switched_and_paid_for(
    klingai: Place, audio: bool | None, sound: str | None, dollars: float
) -> None:
    video = await make(klingai, KLING_V2_6, generate_audio=audio)
    assert sent(klingai).get("sound") == sound
    assert video.ready.cost == float(video.request.price) == dollars


CODES: dict[int, tuple[int, type[ProviderError]]] = {
    1000: (401, ProviderKeyRefused),
    1001: (401, ProviderKeyRefused),
    1002: (401, ProviderKeyRefused),
    1003: (401, ProviderKeyRefused),
    1004: (401, ProviderKeyRefused),
    1100: (429, ProviderBilling),
    1101: (429, ProviderBilling),
    1102: (429, ProviderBilling),
    1103: (403, ProviderKeyRefused),
    1200: (400, RequestRefused),
    1201: (400, RequestRefused),
    1202: (404, InvalidAnswer),
    1203: (404, RequestRefused),
    1300: (400, ContentRefused),
    1301: (400, ContentRefused),
    1302: (429, ProviderBusy),
    1303: (429, ProviderBusy),
    1304: (429, ProviderKeyRefused),
    5000: (500, ProviderUnavailable),
    5001: (503, ProviderUnavailable),
    5002: (504, ProviderUnavailable),
    1999: (429, InvalidAnswer),
}


@pytest.mark.parametrize("code", CODES)
async def test_codes_say_what_is_wrong_whatever_the_status_is(klingai: Place, code: int) -> None:
    status, kind = CODES[code]
    for answer in (envelope(code, status), envelope(code, 200)):
        klingai.instead("submit", answer)
        with pytest.raises(ProviderError, match=rf"what is wrong \(code {code}\)") as refused:
            await klingai.provider.submit(fitted())
        assert type(refused.value) is kind
    klingai.instead("poll", envelope(code, status))
    with pytest.raises(kind, match=f"code {code}"):
        await klingai.provider.poll(Prediction("1", time.time(), "text2video"))


@pytest.mark.parametrize("code", [code for code, (_, kind) in CODES.items() if kind.waiting_helps])
@pytest.mark.parametrize("kind", ["submit", "poll"])
async def test_where_waiting_helps_the_video_is_made(klingai: Place, code: int, kind: Any) -> None:
    klingai.jobs.answers[kind] = deque([envelope(code, CODES[code][0])] * 2)
    await make(klingai)
    assert len(klingai.jobs.taken) == 1


@pytest.mark.parametrize("code", [code for code, (_, kind) in CODES.items() if not kind.waiting_helps])
async def test_where_it_does_not_nothing_is_sent_again(klingai: Place, code: int) -> None:
    klingai.instead("submit", envelope(code, CODES[code][0]))
    with pytest.raises(CODES[code][1]):
        await make(klingai)
    assert klingai.jobs.asked == {"submit": 1}


@pytest.mark.parametrize(
    "answer", [JSONResponse({"code": 0, "message": "SUCCEED", "data": None}), Response(status_code=502), Cut()]
)
async def test_a_job_that_is_not_found_is_not_sent_again(klingai: Place, answer: Response) -> None:
    klingai.instead("submit", answer)
    with pytest.raises(SubmissionUncertain, match="charged"):
        await make(klingai)
    assert klingai.jobs.asked == {"submit": 1, "poll": 1}


@pytest.mark.parametrize(
    "lost",
    [SubmissionUncertain("the answer was lost"), ProviderUnavailable("timeout (code 5002)")],
    ids=["cut", "5002"],
)
async def test_a_job_whose_answer_was_lost_is_found(
    klingai: Place, monkeypatch: pytest.MonkeyPatch, lost: ProviderError
) -> None:
    post = klingai.provider.transport.post  # type: ignore[attr-defined]

    async def take(*args: Any, **options: Any) -> None:
        await post(*args, **options)
        raise lost

    monkeypatch.setattr(klingai.provider.transport, "post", take)  # type: ignore[attr-defined]
    video = await make(klingai)
    (job,) = klingai.jobs.taken
    assert video.prediction.id == job.id
    assert klingai.jobs.asked == {"submit": 1, "poll": 3, "download": 1}


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"task_status": "succeed"},
        {"task_status": "succeed", "task_result": {"videos": []}},
        {"task_status": "succeed", "task_result": {"videos": [{"id": "1", "url": None}]}},
    ],
)
async def test_answers_without_what_they_must_have(klingai: Place, data: Any) -> None:
    klingai.instead("poll", JSONResponse({"code": 0, "message": "SUCCEED", "data": data}))
    with pytest.raises(InvalidAnswer):
        await make(klingai)


async def test_each_request_has_a_token_of_its_own_time(klingai: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens: list[str] = []

    async def keep(request: httpx.Request) -> None:
        tokens.append(request.headers.get("authorization", ""))

    klingai.provider.transport._client.event_hooks["request"].append(keep)  # type: ignore[attr-defined]
    began = int(time.time())
    await make(klingai)
    assert len(tokens) == 5
    for authorization in tokens[:-1]:
        token = authorization.removeprefix("Bearer ")
        assert jwt.get_unverified_header(token) == {"alg": "HS256", "typ": "JWT"}
        claims = jwt.decode(token, KLING_SECRET, ["HS256"])
        assert claims.keys() == {"iss", "exp", "nbf"}
        assert claims["iss"] == KLING_ACCESS
        assert 0 <= claims["exp"] - 1800 - began < 60
        assert claims["exp"] - claims["nbf"] == 1805
    assert tokens[-1] == "", "the video's URL is signed, and needs no key"

    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 1700)
    headers = klingai.provider.transport.headers()  # type: ignore[attr-defined]
    later = jwt.decode(headers["Authorization"][7:], KLING_SECRET, ["HS256"], {"verify_nbf": False})
    assert later["exp"] == int(now + 1700) + 1800


@pytest.mark.parametrize(("which", "seconds", "code"), [("_TOKEN_SECONDS", -10, 1004), ("_EARLY_SECONDS", -100, 1003)])
async def test_a_clock_that_is_wrong_is_named(
    klingai: Place, monkeypatch: pytest.MonkeyPatch, which: str, seconds: int, code: int
) -> None:
    monkeypatch.setattr(provider_module, which, seconds)
    with pytest.raises(ProviderKeyRefused, match=rf"code {code}.*clock"):
        await make(klingai)


@pytest.mark.parametrize(("access", "secret"), [("another-access", KLING_SECRET), (KLING_ACCESS, "another-secret" * 3)])
async def test_wrong_keys_are_in_no_message(klingai: Place, access: str, secret: str) -> None:
    provider = KlingAI(SecretStr(access), SecretStr(secret), klingai.url)
    with pytest.raises(ProviderKeyRefused, match="KLINGAI_SECRET_KEY") as refused:
        await make(Place(provider, klingai.jobs, klingai.url))
    await provider.close()
    shown = refused.value.message + repr(provider.__dict__) + repr(provider.transport.__dict__)
    for key in (access, secret):
        assert key not in shown


@pytest.mark.parametrize("code", [0, 1000, 1999])
async def test_a_token_that_comes_back_is_in_no_message(
    klingai: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, code: int
) -> None:
    token = jwt.encode({"iss": "x"}, KLING_SECRET)
    monkeypatch.setattr(provider_module, "_token", lambda *keys: token)
    klingai.instead("submit", envelope(code, 401, f"no such token: {token}"))
    with pytest.raises(ProviderError, match="no such token") as refused:
        await make(klingai)
    assert token not in refused.value.message + caplog.text


@pytest.mark.parametrize(
    ("failure", "kind"),
    [("Image pixel is invalid", GenerationFailed), ("Failure to pass the risk control system", ContentRefused)],
)
async def test_a_failed_job_says_why(klingai: Place, failure: str, kind: type[ProviderError]) -> None:
    klingai.jobs.failure = failure
    with pytest.raises(kind, match=failure) as failed:
        await make(klingai)
    assert failed.value.prediction_id == klingai.jobs.taken[0].id
    assert klingai.jobs.asked == {"submit": 1, "poll": 3}


async def test_progress_names_the_statuses(klingai: Place) -> None:
    await make(klingai)
    percents = [percent for percent, _ in klingai.told.progress]
    assert percents == sorted(percents)
    assert [message for percent, message in klingai.told.progress if 20 < percent < 80] == [
        "klingai: submitted",
        "klingai: processing",
    ]


async def test_a_job_of_each_route_is_fetched_after_a_crash(klingai: Place) -> None:
    text = await make(klingai)
    image = await make(klingai, image=picture())
    extension = await make(klingai, source=text.ready.metadata["video_id"])
    for video in (text, image, extension):
        resumed = Prediction.from_json(video.prediction.to_json())
        again = await klingai.make(video.request, resumed)
        assert again.content == video.content
        assert again.ready.metadata == video.ready.metadata
    assert klingai.jobs.asked["submit"] == 3


async def test_nothing_stops_a_job(klingai: Place) -> None:
    prediction = await klingai.provider.submit(fitted())
    await klingai.provider.cancel(prediction)
    assert klingai.jobs.asked == {"submit": 1}
    while not isinstance(await klingai.provider.poll(prediction), Ready):
        pass


async def test_urls_that_have_expired_are_told_anew_once(klingai: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "URL_SECONDS", -1.0)
    with pytest.raises(InvalidAnswer, match="status 403"):
        await make(klingai)
    assert klingai.jobs.asked == {"submit": 1, "poll": 4, "download": 2}


async def test_urls_are_signed(klingai: Place) -> None:
    url = (await make(klingai)).ready.url
    async with httpx.AsyncClient() as client:
        assert (await client.get(url)).status_code == 200
        for wrong in (url[:-1] + "!", url.partition("?")[0], url.replace("expires=", "expires=1")):
            assert (await client.get(wrong)).status_code == 403
