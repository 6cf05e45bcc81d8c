"""OpenAI's Videos API, spoken by its own SDK with a server of ours."""

import asyncio
import io
import warnings
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from frontend.app import create_app
from frontend.providers.demo.gate import Cut
from frontend.providers.demo.jobs import Request
from frontend.providers.engine import Engine, HostedVideo
from frontend.providers.errors import (
    ContentRefused,
    GenerationFailed,
    InvalidAnswer,
    ProviderBilling,
    ProviderBusy,
    ProviderDeadline,
    ProviderError,
    ProviderKeyRefused,
    ProviderUnavailable,
    RequestRefused,
    SubmissionUncertain,
)
from frontend.providers.hosted_model import LANDSCAPE, HostedModel
from frontend.providers.openai_sora import SORA_2, SORA_2_PRO, Sora
from frontend.providers.provider import Pending, Prediction
from frontend.providers.request import FittedRequest, InputImage, VideoRequest, fit
from frontend.settings import Settings
from tests.frontend.conftest import Serve
from tests.frontend.fake_generator import FakeGenerator
from tests.waiting import until

from .conftest import KEY, Place, Told, cutting, imports


async def make(
    place: Place, model: HostedModel = SORA_2, resume: Prediction | None = None, **wanted: Any
) -> HostedVideo[FittedRequest]:
    request = fit(VideoRequest(**{"prompt": "a fox", **wanted}), model)
    return await place.make(request, resume)


def image(width: int, height: int, kind: str = "png") -> InputImage:
    file = io.BytesIO()
    Image.new("RGB", (width, height), "teal").save(file, kind)
    return InputImage(file.getvalue(), f"image/{kind}")


def refusal(status: int, message: str, code: str | None = None, param: str | None = None, **headers: str) -> Response:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return JSONResponse({"error": error}, status, headers)


async def test_a_video_of_a_prompt(sora: Place) -> None:
    video = await make(sora, duration=8, aspect_ratio="9:16")
    assert video.content[4:8] == b"ftyp"
    assert sora.jobs.taken[0].inputs == {"prompt": "a fox", "model": "sora-2", "seconds": "8", "size": "720x1280"}
    assert sora.jobs.asked == {"submit": 1, "poll": 3, "download": 1}
    assert sora.told.kept == [None, video.prediction]
    assert video.prediction.id == sora.jobs.taken[0].id
    assert video.request.price == Decimal("0.80")


async def test_progress_is_the_provider_s(sora: Place) -> None:
    sora.jobs.polls = 3
    await make(sora)
    polled = [percent for percent, message in sora.told.progress if message.startswith("openai: ")]
    assert polled == [20, 20 + 60 * 0.5, 20 + 60 * 0.75]


@pytest.mark.parametrize(
    ("model", "resolution", "aspect_ratio", "size", "price"),
    [
        (SORA_2, "1080p", "16:9", "1280x720", "0.40"),
        (SORA_2_PRO, None, "16:9", "1280x720", "1.20"),
        (SORA_2_PRO, "1080p", "16:9", "1792x1024", "2.00"),
        (SORA_2_PRO, "1080p", "9:16", "1024x1792", "2.00"),
    ],
)
async def test_sizes_are_the_api_s(
    sora: Place, model: HostedModel, resolution: str | None, aspect_ratio: str, size: str, price: str
) -> None:
    video = await make(sora, model, resolution=resolution, aspect_ratio=aspect_ratio)
    assert sora.jobs.taken[0].inputs["size"] == size
    assert video.request.price == Decimal(price)


@pytest.mark.parametrize("kind", ["png", "jpeg", "webp"])
async def test_images_are_sent_in_the_video_s_size(sora: Place, kind: str) -> None:
    await make(sora, SORA_2_PRO, image=image(100, 300, kind), resolution="1080p", aspect_ratio="9:16")
    sent = Image.open(io.BytesIO(sora.jobs.taken[0].inputs["input_reference"]))
    assert (sent.format, sent.size) == ("PNG", (1024, 1792))


async def test_an_image_that_is_none_is_refused_before_anything_is_sent(sora: Place) -> None:
    with pytest.raises(RequestRefused) as refused:
        await make(sora, image=InputImage(b"\x89PNG\r\n\x1a\nnothing", "image/png"))
    assert refused.value.field == "image"
    assert sora.jobs.asked == {}


@pytest.mark.parametrize(
    ("answer", "kind", "field"),
    [
        (refusal(403, "no access to model sora-2-pro"), ProviderKeyRefused, None),
        (refusal(429, "check your plan", "insufficient_quota"), ProviderBilling, None),
        (refusal(400, "hard limit", "billing_hard_limit_reached"), ProviderBilling, None),
        (refusal(400, "blocked by our system", "moderation_blocked"), ContentRefused, "prompt"),
        (refusal(400, "policy", "content_policy_violation", "input_reference"), ContentRefused, "image"),
        (refusal(400, "Invalid value: '5'", "invalid_value", "seconds"), RequestRefused, "duration"),
        (refusal(404, "The model 'sora-2' does not exist", "model_not_found"), RequestRefused, None),
        (Response("not JSON", 400), RequestRefused, None),
        (JSONResponse({"error": "words alone"}, 400), RequestRefused, None),
        (JSONResponse(["a list"], 422), RequestRefused, None),
    ],
)
async def test_refusals_say_what_to_do(
    sora: Place, answer: Response, kind: type[ProviderError], field: str | None
) -> None:
    sora.instead("submit", answer)
    with pytest.raises(kind) as refused:
        await make(sora)
    assert refused.value.field == field
    assert sora.jobs.asked == {"submit": 1}


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (refusal(429, "slow down", "rate_limit_exceeded", **{"Retry-After": "7"}), ProviderBusy),
        (refusal(503, "overloaded", **{"Retry-After": "7"}), ProviderUnavailable),
        (refusal(408, "too slow", **{"Retry-After": "7"}), ProviderUnavailable),
    ],
)
async def test_what_waiting_helps_says_how_long(sora: Place, answer: Response, kind: type[ProviderError]) -> None:
    sora.instead("submit", answer)
    with pytest.raises(kind) as busy:
        await sora.provider.submit(fit(VideoRequest("a fox"), SORA_2))
    assert busy.value.retry_after == 7
    assert busy.value.waiting_helps


@pytest.mark.parametrize("trouble", [refusal(429, "slow down"), Response(status_code=503)])
async def test_a_job_that_was_surely_not_taken_is_sent_again(sora: Place, trouble: Response) -> None:
    sora.instead("submit", trouble, trouble)
    await make(sora)
    assert sora.jobs.asked["submit"] == 3
    assert len(sora.jobs.taken) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        Cut(media_type="application/json"),
        refusal(500, "server error"),
        Response("<html>bad gateway</html>", 502),
        Response("no JSON", media_type="application/json"),
        Response("no JSON", media_type="text/plain"),
        JSONResponse({}),
        JSONResponse([]),
        JSONResponse(None),
    ],
)
async def test_a_job_that_may_have_been_taken_is_not_sent_again(sora: Place, trouble: Response) -> None:
    sora.instead("submit", trouble)
    with pytest.raises(SubmissionUncertain, match="charged"):
        await make(sora)
    assert sora.jobs.asked == {"submit": 1}
    assert sora.told.kept == [None]


async def test_a_connection_that_is_cut_before_any_answer_is_not_made_again() -> None:
    async with cutting() as (url, requests):
        provider = Sora(SecretStr(KEY), f"{url}/v1")
        with pytest.raises(SubmissionUncertain):
            await provider.submit(fit(VideoRequest("a fox"), SORA_2))
        await provider.close()
    (request,) = requests
    assert request.startswith("POST /v1/videos ")


async def test_the_key_goes_to_no_other_host(sora: Place) -> None:
    async with cutting() as (url, requests):
        sora.instead("download", Response(status_code=302, headers={"Location": f"{url}/film.mp4"}))
        assert (await make(sora)).content[4:8] == b"ftyp"
    (request,) = requests
    assert request.startswith("GET /film.mp4 ")
    assert KEY not in request


async def test_nobody_listens() -> None:
    provider = Sora(SecretStr(KEY), "http://127.0.0.1:9/v1")
    with pytest.raises(ProviderUnavailable, match="ConnectError"):
        await provider.submit(fit(VideoRequest("a fox"), SORA_2))
    await provider.close()


@pytest.mark.parametrize("kind", ["poll", "download"])
@pytest.mark.parametrize("trouble", [refusal(503, "away"), refusal(500, "broken"), refusal(429, "slow down"), Cut()])
async def test_what_costs_nothing_is_asked_again(sora: Place, kind: Request, trouble: Response) -> None:
    sora.instead(kind, trouble, trouble)
    assert (await make(sora)).content[4:8] == b"ftyp"
    assert sora.jobs.asked["submit"] == 1


@pytest.mark.parametrize(
    ("failure", "kind"),
    [("the GPU is on fire", GenerationFailed), ("blocked by our moderation system", ContentRefused)],
)
async def test_a_failed_job_says_why(sora: Place, failure: str, kind: type[ProviderError]) -> None:
    sora.jobs.failure = failure
    with pytest.raises(kind, match=failure) as failed:
        await make(sora)
    assert failed.value.prediction_id == sora.jobs.taken[0].id
    assert sora.jobs.asked["submit"] == 1


async def test_a_failed_job_need_not_say_why(sora: Place) -> None:
    sora.instead("poll", JSONResponse({"id": "video_1", "object": "video", "status": "failed", "error": "words"}))
    with pytest.raises(GenerationFailed, match="no reason is given"):
        await make(sora)


async def test_a_job_is_fetched_by_another_process(sora: Place) -> None:
    first = await make(sora)
    again = await make(sora, resume=Prediction.from_json(first.prediction.to_json()))
    assert again.content == first.content
    assert sora.jobs.asked["submit"] == 1


async def test_a_job_that_is_gone_is_not_waited_for(sora: Place) -> None:
    with pytest.raises(RequestRefused, match="not found"):
        await sora.provider.poll(Prediction("video_unknown", 0))


async def test_who_cancels_deletes_the_job(sora: Place) -> None:
    sora.jobs.polls = 10**9
    work = asyncio.create_task(make(sora))
    await until(lambda: sora.jobs.asked["poll"] > 1)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert sora.jobs.asked["cancel"] == 1
    assert sora.jobs.taken[0].cancelled


async def test_a_job_that_takes_too_long_is_deleted(sora: Place) -> None:
    sora.jobs.polls = 10**9
    request = fit(VideoRequest("a fox"), SORA_2)
    taken = await sora.nearly_late(request)
    with pytest.raises(ProviderDeadline):
        await sora.make(request, taken)
    assert sora.jobs.taken[0].cancelled


async def test_a_video_that_is_too_large_is_not_read_to_its_end(sora: Place) -> None:
    sora.jobs.content = bytes(3_000_000)
    engine = replace(sora.engine(), max_bytes=1_000_000)
    with pytest.raises(InvalidAnswer, match="more than 1000000 bytes"):
        await engine.run(fit(VideoRequest("a fox"), SORA_2), sora.told.tell, sora.told.keep)


async def test_a_wrong_key_is_in_no_message(sora: Place) -> None:
    provider = Sora(SecretStr("sk-another-key-of-somebody"), f"{sora.url}/v1")
    with pytest.raises(ProviderKeyRefused, match="OPENAI_API_KEY") as refused:
        await make(Place(provider, sora.jobs, sora.url))
    await provider.close()
    assert "sk-" not in refused.value.message + repr(refused.value) + repr(provider.__dict__)
    assert refused.value.__cause__ is None


async def test_the_end_of_openai_s_own_service_is_not_warned_of(sora: Place) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        video = await make(sora)
        await sora.provider.cancel(video.prediction)


async def test_our_own_server_speaks_it_too(serve: Serve, settings: Settings, generator: FakeGenerator) -> None:
    """A job that is held up is taken at once, tells of its progress, and can be stopped."""
    app = create_app(settings.model_copy(update={"model_aliases": {"sora-2": "toy-wan-t2v"}}), generator)
    request = fit(VideoRequest("a fox"), replace(SORA_2, sizes={("720p", LANDSCAPE): (32, 16)}))
    generator.step_gate.clear()
    with serve(app) as url:
        provider = Sora(SecretStr("none"), f"{url}/v1")
        stopped, made = await provider.submit(request), await provider.submit(request)
        assert isinstance(await provider.poll(made), Pending)
        await provider.cancel(stopped)
        generator.step_gate.set()
        told = Told()
        video = await Engine(provider, poll_seconds=0.02).run(request, told.tell, told.keep, made)
        with pytest.raises(RequestRefused, match="not found"):
            await provider.poll(stopped)
        await provider.close()
    assert video.content[4:8] == b"ftyp"
    assert len(generator.cancelled) == 1


def test_the_sdk_is_loaded_by_those_who_use_it_alone() -> None:
    assert "openai" not in imports("frontend.providers.openai_sora")
