"""The protocols of Veo, spoken by Google's own SDK with a server of ours."""

import asyncio
import base64
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from google.auth.exceptions import DefaultCredentialsError, RefreshError, TransportError
from google.oauth2.credentials import Credentials
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from frontend.providers.demo.gate import Cut
from frontend.providers.demo.server import serving
from frontend.providers.engine import HostedVideo
from frontend.providers.errors import (
    ContentRefused,
    GenerationFailed,
    InvalidAnswer,
    ProviderBilling,
    ProviderBusy,
    ProviderDeadline,
    ProviderError,
    ProviderKeyRefused,
    ProviderNotConfigured,
    ProviderUnavailable,
    RequestRefused,
    SubmissionUncertain,
)
from frontend.providers.gemini_veo import VEO_3_1, VEO_3_1_FAST, Veo
from frontend.providers.google_errors import error_of_credentials
from frontend.providers.provider import Prediction
from frontend.providers.request import FittedRequest, InputImage, VideoRequest, fit
from protocol.errors import InvalidRequest
from tests.waiting import until

from .conftest import KEY, Place, access, cutting, imports

WIRES = ("veo", "vertex", "express")
IMAGE = InputImage(b"\x89PNG", "image/png")
RETRY_INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "26.5s"}
QUOTA = "You exceeded your current quota, please check your plan and billing details."


@pytest.fixture(params=WIRES)
def place(request: pytest.FixtureRequest) -> Place:
    """Each way to speak with Google."""
    found: Place = request.getfixturevalue(request.param)
    return found


async def make(
    place: Place, number: int = 0, resume: Prediction | None = None, **wanted: Any
) -> HostedVideo[FittedRequest]:
    """By the provider's model of that number."""
    request = fit(VideoRequest(**{"prompt": "a fox", **wanted}), place.provider.models[number])
    return await place.make(request, resume)


async def sent(place: Place, **wanted: Any) -> dict[str, Any]:
    """What the server was sent."""
    video = await make(place, **wanted)
    assert video.content[4:8] == b"ftyp"
    return place.jobs.taken[-1].inputs


def refusal(status: int, message: str, *details: dict[str, Any], name: str = "", **headers: str) -> Response:
    error = {"code": status, "message": message, "status": name, "details": list(details)}
    return JSONResponse({"error": error}, status, headers)


async def test_a_video_of_a_prompt(place: Place) -> None:
    video = await make(place, duration=6, aspect_ratio="9:16", negative_prompt="rain", enhance_prompt=True)
    assert video.content[4:8] == b"ftyp"
    (job,) = place.jobs.taken
    assert job.inputs == {
        "prompt": "a fox",
        "parameters": {
            "sampleCount": 1,
            "durationSeconds": 6,
            "aspectRatio": "9:16",
            "resolution": "720p",
            "negativePrompt": "rain",
            "enhancePrompt": True,
        },
    }
    assert place.jobs.asked["submit"] == 1
    assert place.jobs.asked["poll"] == 3
    assert place.told.kept == [None, video.prediction]
    assert video.request.changes == ()
    assert video.request.price == Decimal("0.60")


@pytest.mark.parametrize("number", [0, 1])
async def test_models_have_the_names_of_the_protocol(veo: Place, vertex: Place, number: int) -> None:
    await make(veo, number)
    await make(vertex, number)
    on_gemini, on_vertex = (job.model for job in veo.jobs.taken)
    name = "veo-3.1-generate" if number else "veo-3.1-fast-generate"
    assert (on_gemini, on_vertex) == (f"{name}-preview", f"{name}-001")


async def test_operations_have_the_names_of_the_protocol(veo: Place, vertex: Place, express: Place) -> None:
    places = {
        "models/veo-3.1-fast-generate-preview": veo,
        "projects/films/locations/europe-west4/publishers/google/models/veo-3.1-fast-generate-001": vertex,
        "projects/express/locations/us-central1/publishers/google/models/veo-3.1-fast-generate-001": express,
    }
    for name, place in places.items():
        video = await make(place)
        assert video.prediction.id == f"{name}/operations/{place.jobs.taken[-1].id}"


async def test_images_are_sent_as_they_are(place: Place) -> None:
    inputs = await sent(place, image=IMAGE)
    assert inputs["image"] == {"bytesBase64Encoded": "iVBORw==", "mimeType": "image/png"}


async def test_seed_and_audio_are_vertex_s_alone(place: Place) -> None:
    video = await make(place, seed=7, generate_audio=False)
    parameters = place.jobs.taken[0].inputs["parameters"]
    on_vertex = isinstance(place.provider, Veo) and place.provider.models[0] is not VEO_3_1_FAST
    assert parameters.get("seed") == (7 if on_vertex else None)
    assert parameters.get("generateAudio") is (False if on_vertex else None)
    assert len(video.request.changes) == (0 if on_vertex else 1)


async def test_1080p_takes_eight_seconds(place: Place) -> None:
    video = await make(place, duration=4, resolution="1080p")
    assert place.jobs.taken[0].inputs["parameters"]["durationSeconds"] == 8
    assert video.request.changes == ("duration is 8 seconds, not 4: veo-3.1-fast offers 8 at 1080p",)
    assert video.request.price == Decimal("0.96")


def test_what_is_left_open_is_eight_seconds_at_720p() -> None:
    request = fit(VideoRequest("a fox"), VEO_3_1)
    assert (request.duration, request.resolution, request.price) == (8, "720p", Decimal("3.20"))
    with pytest.raises(InvalidRequest) as refused:
        fit(VideoRequest("a fox", duration=5), VEO_3_1, strict=True)
    assert refused.value.field == "duration"


async def test_a_video_of_veo_s_is_extended(veo: Place) -> None:
    first = await make(veo, duration=4)
    more = await make(veo, source=first.ready.metadata["video"], resolution="1080p")
    inputs = veo.jobs.taken[1].inputs
    assert inputs["video"] == {"uri": first.ready.metadata["video"], "encoding": "video/mp4"}
    assert inputs["parameters"] == {"sampleCount": 1, "aspectRatio": "16:9", "resolution": "720p"}
    assert veo.jobs.taken[1].seconds == 11
    assert more.request.price == Decimal("0.70")
    assert more.request.changes == ("resolution is 720p, not 1080p: veo-3.1-fast offers 720p",)


async def test_vertex_extends_what_is_in_a_bucket(vertex: Place) -> None:
    inputs = await sent(vertex, source="gs://films/a.mp4")
    assert inputs["video"] == {"gcsUri": "gs://films/a.mp4", "mimeType": "video/mp4"}


async def test_other_videos_are_refused_before_anything_is_sent(place: Place) -> None:
    with pytest.raises(RequestRefused) as refused:
        await make(place, source="https://example.com/a.mp4")
    assert refused.value.field == "video"
    assert place.jobs.asked == {}


@pytest.mark.parametrize(
    ("answer", "kind", "field"),
    [
        (refusal(401, "invalid authentication credentials"), ProviderKeyRefused, None),
        (refusal(403, "Permission denied on resource"), ProviderKeyRefused, None),
        (refusal(403, "This API method requires billing to be enabled."), ProviderBilling, None),
        (refusal(429, QUOTA), ProviderBilling, None),
        (refusal(400, "The prompt violates Vertex AI's usage guidelines."), ContentRefused, "prompt"),
        (refusal(400, "durationSeconds is out of bound"), RequestRefused, None),
        (refusal(404, "the model is no longer available"), RequestRefused, None),
        (Response("<html>not found</html>", 404), RequestRefused, None),
        (JSONResponse({"error": "words alone"}, 400), RequestRefused, None),
        (JSONResponse([{"error": {"code": 400, "message": "in a list"}}], 400), RequestRefused, None),
        (JSONResponse({"error": {"message": "x", "details": ["words alone"]}}, 400), RequestRefused, None),
    ],
)
async def test_refusals_say_what_to_do(
    veo: Place, answer: Response, kind: type[ProviderError], field: str | None
) -> None:
    veo.instead("submit", answer)
    with pytest.raises(kind) as refused:
        await make(veo)
    assert refused.value.field == field
    assert veo.jobs.asked == {"submit": 1}


@pytest.mark.parametrize(
    ("answer", "kind", "seconds"),
    [
        (refusal(429, QUOTA, {"reason": "RATE_LIMIT_EXCEEDED"}, RETRY_INFO), ProviderBusy, 26.5),
        (refusal(429, "Resource exhausted."), ProviderBusy, None),
        (refusal(429, "Resource exhausted.", **{"Retry-After": "7"}), ProviderBusy, 7),
        (refusal(429, "Resource exhausted.", {"retryDelay": "soon"}), ProviderBusy, None),
        (refusal(503, "The model is overloaded.", RETRY_INFO), ProviderUnavailable, 26.5),
    ],
)
async def test_what_waiting_helps_says_how_long(
    veo: Place, answer: Response, kind: type[ProviderError], seconds: float | None
) -> None:
    veo.instead("submit", answer)
    with pytest.raises(kind) as busy:
        await veo.provider.submit(fit(VideoRequest("a fox"), veo.provider.models[0]))
    assert busy.value.retry_after == seconds
    assert busy.value.waiting_helps


async def test_a_job_that_was_surely_not_taken_is_sent_again(veo: Place) -> None:
    veo.instead("submit", refusal(429, "Resource exhausted."), refusal(503, "overloaded"))
    await make(veo)
    assert veo.jobs.asked["submit"] == 3
    assert len(veo.jobs.taken) == 1


@pytest.mark.parametrize(
    "trouble",
    [
        Cut(),
        refusal(500, "Internal error encountered."),
        refusal(504, "The request timed out."),
        Response("<html>bad gateway</html>", 502),
        Response("no JSON"),
        Response(b""),
        Response(b"\xff"),
        JSONResponse({}),
        JSONResponse([]),
        JSONResponse({"name": 5}),
    ],
)
async def test_a_job_that_may_have_been_taken_is_not_sent_again(vertex: Place, trouble: Response) -> None:
    vertex.instead("submit", trouble)
    with pytest.raises(SubmissionUncertain, match="charged"):
        await make(vertex)
    assert vertex.jobs.asked == {"submit": 1}
    assert vertex.told.kept == [None]


@pytest.mark.parametrize("options", [{"key": SecretStr(KEY)}, {"project": "films", "credentials": access(KEY)}])
async def test_a_connection_that_is_cut_before_any_answer_is_not_made_again(options: dict[str, Any]) -> None:
    """The SDK does, after some seconds, where aiohttp is installed and it is let use it."""
    async with cutting() as (url, requests):
        provider = Veo(base_url=url, **options)
        with pytest.raises(SubmissionUncertain):
            await provider.submit(fit(VideoRequest("a fox"), provider.models[0]))
        await provider.close()
    (request,) = requests
    assert request.startswith("POST ")
    assert KEY in request


async def test_nobody_listens() -> None:
    provider = Veo(SecretStr(KEY), "http://127.0.0.1:9")
    with pytest.raises(ProviderUnavailable, match="ConnectError"):
        await provider.submit(fit(VideoRequest("a fox"), VEO_3_1))
    await provider.close()


@pytest.mark.parametrize(
    "trouble", [refusal(503, "away"), refusal(500, "broken"), refusal(429, "busy"), Response("no JSON"), Cut()]
)
async def test_polls_that_fail_are_repeated(vertex: Place, trouble: Response) -> None:
    vertex.instead("poll", trouble, trouble)
    assert (await make(vertex)).content[4:8] == b"ftyp"
    assert vertex.jobs.asked["submit"] == 1


@pytest.mark.parametrize("trouble", [refusal(503, "away"), refusal(500, "broken"), Cut()])
async def test_downloads_that_fail_are_repeated(veo: Place, trouble: Response) -> None:
    veo.instead("download", trouble, trouble)
    assert (await make(veo)).content[4:8] == b"ftyp"
    assert veo.jobs.asked == {"submit": 1, "poll": 3, "download": 3}


async def test_the_key_goes_to_no_other_host(veo: Place) -> None:
    """The service may redirect to where its files are."""
    async with cutting() as (url, requests):
        veo.instead("download", Response(status_code=302, headers={"Location": f"{url}/film.mp4"}))
        assert (await make(veo)).content[4:8] == b"ftyp"
    (request,) = requests
    assert request.startswith("GET /film.mp4 ")
    assert KEY not in request


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        ("an internal error has occurred", GenerationFailed),
        ("The prompt contains words that violate Vertex AI's usage guidelines.", ContentRefused),
    ],
)
async def test_a_failed_job_says_why(place: Place, failure: str, kind: type[ProviderError]) -> None:
    place.jobs.failure = failure
    with pytest.raises(kind, match=failure) as failed:
        await make(place)
    assert failed.value.prediction_id is not None
    assert failed.value.prediction_id.endswith(place.jobs.taken[0].id)
    assert place.jobs.asked["submit"] == 1


async def test_a_filtered_video_says_why(place: Place) -> None:
    place.jobs.filtered = "it shows a celebrity"
    with pytest.raises(ContentRefused, match="it shows a celebrity"):
        await make(place)
    assert place.jobs.asked == {"submit": 1, "poll": 3}


def done(place: Place, response: Any) -> None:
    """The next poll tells of a job that has it."""
    place.instead("poll", JSONResponse({"name": "x", "done": True, "response": response}))


@pytest.mark.parametrize(
    ("response", "message"),
    [
        ({}, "without a video"),
        ({"videos": []}, "without a video"),
        ({"videos": [{}]}, "none of its files"),
        ({"videos": [{"gcsUri": "gs://films/a.mp4"}]}, "Cloud Storage"),
        ({"videos": [{"gcsUri": "https://example.com/files/abc"}]}, "none of its files"),
        ({"videos": [{"bytesBase64Encoded": "?"}]}, "its API does not have"),
    ],
)
async def test_vertex_answers_without_a_video(vertex: Place, response: Any, message: str) -> None:
    done(vertex, response)
    with pytest.raises(InvalidAnswer, match=message):
        await make(vertex)


@pytest.mark.parametrize("uri", ["https://example.com/film.mp4", "file:///etc/passwd", "gs://films/a.mp4", ""])
async def test_the_gemini_api_names_something_else(veo: Place, uri: str) -> None:
    done(veo, {"generateVideoResponse": {"generatedSamples": [{"video": {"uri": uri}}]}})
    with pytest.raises(InvalidAnswer):
        await make(veo)
    assert veo.jobs.asked["download"] == 0


async def test_a_video_that_is_too_large_is_refused(place: Place) -> None:
    place.jobs.content = bytes(3_000_000)
    engine = replace(place.engine(), max_bytes=1_000_000)
    request = fit(VideoRequest("a fox"), place.provider.models[0])
    with pytest.raises(InvalidAnswer, match="more than 1000000 bytes"):
        await engine.run(request, place.told.tell, place.told.keep)


async def test_a_job_is_fetched_by_another_process(place: Place) -> None:
    first = await make(place)
    again = await make(place, resume=Prediction.from_json(first.prediction.to_json()))
    assert again.content == first.content
    assert place.jobs.asked["submit"] == 1


async def test_a_job_that_takes_too_long_is_given_up(vertex: Place) -> None:
    vertex.jobs.polls = 10**9
    request = fit(VideoRequest("a fox"), vertex.provider.models[0])
    taken = await vertex.nearly_late(request)
    with pytest.raises(ProviderDeadline):
        await vertex.make(request, taken)
    assert vertex.jobs.asked["submit"] == 1


async def test_who_cancels_leaves_the_job_to_google(vertex: Place) -> None:
    vertex.jobs.polls = 10**9
    work = asyncio.create_task(make(vertex))
    await until(lambda: vertex.jobs.asked["poll"] > 1)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert work.cancelled()
    assert set(vertex.jobs.asked) == {"submit", "poll"}


@pytest.mark.parametrize(
    "options",
    [
        {"key": SecretStr("another-key")},
        {"key": SecretStr("another-key"), "vertex": True},
        {"project": "films", "credentials": access("another-key")},
    ],
)
async def test_a_wrong_key_is_in_no_message(veo: Place, options: dict[str, Any]) -> None:
    provider = Veo(base_url=veo.url, **options)
    with pytest.raises(ProviderKeyRefused, match="Check GEMINI_API_KEY") as refused:
        await make(Place(provider, veo.jobs, veo.url))
    await provider.close()
    assert "another-key" not in refused.value.message + repr(refused.value) + repr(provider.__dict__)


async def test_the_key_is_in_no_text_of_a_video(veo: Place) -> None:
    video = await make(veo)
    assert KEY not in repr(video.ready) + repr(video.prediction) + repr(veo.provider.__dict__)


@pytest.mark.parametrize(
    ("options", "kept_under"),
    [
        ({"key": SecretStr(KEY)}, "models/"),
        ({"key": SecretStr(KEY), "vertex": True}, "projects/express/"),
        ({"project": "films", "credentials": access(KEY)}, "projects/films/locations/us-central1/"),
    ],
)
async def test_the_environment_changes_nothing(
    veo: Place, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], kept_under: str
) -> None:
    """The SDK reads much of it by itself."""
    monkeypatch.setenv("GOOGLE_API_KEY", "another-key")
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "another-project")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "another-location")
    monkeypatch.setenv("GOOGLE_GENAI_USE_VERTEXAI", "true" if "models/" in kept_under else "false")
    provider = Veo(base_url=veo.url, **options)
    video = await make(Place(provider, veo.jobs, veo.url))
    await provider.close()
    assert video.prediction.id.startswith(kept_under)


@pytest.mark.parametrize("options", [{}, {"key": SecretStr(KEY), "project": "films"}, {"vertex": True}])
def test_there_is_a_key_or_a_project(options: dict[str, Any]) -> None:
    with pytest.raises(ProviderNotConfigured):
        Veo(**options)


@pytest.mark.parametrize(
    ("failure", "retryable", "kind"),
    [
        (DefaultCredentialsError, False, ProviderKeyRefused),
        (RefreshError, False, ProviderKeyRefused),
        (TransportError, True, ProviderUnavailable),
    ],
)
def test_credentials_that_cannot_be_had(failure: Any, retryable: bool, kind: type[ProviderError]) -> None:
    made = error_of_credentials(failure("the reason", retryable=retryable))
    assert type(made) is kind
    assert failure.__name__ in made.message


@pytest.mark.parametrize("status", [200, 400])
async def test_access_tokens_are_asked_for_when_there_is_none(vertex: Place, status: int) -> None:
    asked: list[str] = []

    async def token(request: HttpRequest) -> Response:
        asked.append((await request.body()).decode())
        told = {"access_token": KEY, "expires_in": 3600} if status == 200 else {"error": "invalid_grant"}
        return JSONResponse(told, status)

    with serving(Starlette(routes=[Route("/token", token, methods=["POST"])])) as url:
        credentials: Any = Credentials
        mine = credentials(None, "the-refresh-token", None, f"{url}/token", "client", "the-client-secret")
        provider = Veo(base_url=vertex.url, project="films", credentials=mine)
        place = Place(provider, vertex.jobs, vertex.url)
        if status == 200:
            assert (await make(place)).content[4:8] == b"ftyp"
        else:
            with pytest.raises(ProviderKeyRefused, match="RefreshError") as refused:
                await make(place)
            assert "the-" not in refused.value.message
            assert vertex.jobs.asked == {}
        await provider.close()
    assert len(asked) == 1


async def test_credentials_that_are_none_are_told_before_anything_is_sent(
    veo: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    provider = Veo(base_url=veo.url, project="films")
    with pytest.raises(ProviderKeyRefused, match="GOOGLE_APPLICATION_CREDENTIALS"):
        await provider.submit(fit(VideoRequest("a fox"), provider.models[0]))
    await provider.close()
    assert veo.jobs.asked == {}


async def test_inline_videos_are_decoded(vertex: Place) -> None:
    vertex.jobs.content = bytes(range(256))
    encoded = base64.b64encode(vertex.jobs.content).decode()
    assert "+" in encoded
    assert "/" in encoded
    video = await vertex.provider.submit(fit(VideoRequest("a fox"), vertex.provider.models[0]))
    vertex.jobs.polls = 0
    ready = await vertex.provider.poll(video)
    assert ready.content == vertex.jobs.content  # type: ignore[union-attr]


def test_the_sdk_is_loaded_by_those_who_use_it_alone() -> None:
    assert not {"google.genai", "google.auth"} & imports("frontend.providers.gemini_veo")
