"""WaveSpeed's protocol, as its server has it."""

from typing import Any

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse

from frontend.providers.errors import (
    ContentRefused,
    GenerationFailed,
    ProviderBilling,
    ProviderError,
    ProviderKeyRefused,
    RequestRefused,
    SubmissionUncertain,
)
from frontend.providers.hosted_model import HostedModel
from frontend.providers.request import InputImage, VideoRequest, fit
from frontend.providers.wavespeed import HUNYUAN, LTX_2_FAST, LTX_2_PRO, LTX_2_RETAKE, WaveSpeed

from .conftest import Place


async def make(place: Place, model: HostedModel = HUNYUAN, **wanted: Any) -> dict[str, Any]:
    """What the server was sent."""
    request = fit(VideoRequest(**{"prompt": "a fox", **wanted}), model)
    video = await place.make(request)
    assert video.content[4:8] == b"ftyp"
    return place.jobs.taken[-1].inputs


@pytest.mark.parametrize("model", [HUNYUAN, LTX_2_PRO, LTX_2_FAST, LTX_2_RETAKE])
async def test_each_model_takes_what_it_is_sent(wavespeed: Place, model: HostedModel) -> None:
    source = "https://example.com/a.mp4" if model is LTX_2_RETAKE else None
    inputs = await make(wavespeed, model, negative_prompt="rain", seed=7, generate_audio=False, source=source)
    assert inputs["prompt"] == "a fox"
    assert inputs.get("seed") == (7 if model is HUNYUAN else None)
    assert inputs.get("negative_prompt") == ("rain" if model is HUNYUAN else None)
    assert inputs.get("generate_audio") is (False if model in (LTX_2_PRO, LTX_2_FAST) else None)


async def test_sizes_are_written_with_an_asterisk(wavespeed: Place) -> None:
    assert (await make(wavespeed, resolution="480p", aspect_ratio="9:16"))["size"] == "480*832"


@pytest.mark.parametrize("model", [HUNYUAN, LTX_2_PRO, LTX_2_FAST])
async def test_images_go_as_data_uris(wavespeed: Place, model: HostedModel) -> None:
    inputs = await make(wavespeed, model, image=InputImage(b"\x89PNG", "image/png"))
    assert inputs["image"] == "data:image/png;base64,iVBORw=="
    assert wavespeed.jobs.taken[-1].model.endswith("image-to-video")


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (400, "duration must be one of [6, 8, 10]", RequestRefused),
        (400, "Content policy violation", ContentRefused),
        (401, "Invalid API key", ProviderKeyRefused),
        (403, "Forbidden", ProviderKeyRefused),
        (402, "Payment required", ProviderBilling),
        (429, "Insufficient credits", ProviderBilling),
        (400, "insufficient balance", ProviderBilling),
    ],
)
async def test_refusals_say_what_to_do(wavespeed: Place, status: int, message: str, kind: type[ProviderError]) -> None:
    wavespeed.instead("submit", JSONResponse({"code": status, "message": message}, status))
    with pytest.raises(kind, match=message.replace("[", r"\[")):
        await make(wavespeed)
    assert wavespeed.jobs.asked == {"submit": 1}


async def test_a_wrong_key_is_in_no_message(wavespeed: Place) -> None:
    provider = WaveSpeed(SecretStr("another-key"), wavespeed.url)
    with pytest.raises(ProviderKeyRefused) as refused:
        await make(Place(provider, wavespeed.jobs, wavespeed.url))
    await provider.close()
    assert "another-key" not in refused.value.message + repr(provider.__dict__)
    assert "WAVESPEED_API_KEY" in refused.value.message


@pytest.mark.parametrize(
    ("failure", "kind"), [("out of memory", GenerationFailed), ("NSFW content detected", ContentRefused)]
)
async def test_a_failed_job_says_why(wavespeed: Place, failure: str, kind: type[ProviderError]) -> None:
    wavespeed.jobs.failure = failure
    with pytest.raises(kind, match=failure) as failed:
        await make(wavespeed)
    assert failed.value.prediction_id == wavespeed.jobs.taken[0].id
    assert wavespeed.jobs.asked["submit"] == 1


@pytest.mark.parametrize("answer", [{"code": 200, "data": {}}, {"code": 200}, []])
async def test_an_answer_without_an_id_may_be_a_job_that_is_charged(wavespeed: Place, answer: Any) -> None:
    wavespeed.instead("submit", JSONResponse(answer))
    with pytest.raises(SubmissionUncertain, match="charged"):
        await make(wavespeed)
    assert wavespeed.jobs.asked == {"submit": 1}
