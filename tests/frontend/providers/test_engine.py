"""A video is paid for once, whatever goes wrong on the way."""

import asyncio
import time
from dataclasses import replace

import pytest
from starlette.responses import JSONResponse, Response

from frontend.providers.demo.gate import Cut
from frontend.providers.demo.jobs import Request
from frontend.providers.engine import HostedVideo
from frontend.providers.errors import (
    InvalidAnswer,
    ProviderDeadline,
    SubmissionUncertain,
)
from frontend.providers.provider import Prediction
from frontend.providers.request import FittedRequest, VideoRequest, fit
from frontend.providers.wavespeed import HUNYUAN
from tests.waiting import until

from .conftest import Place


def request(prompt: str = "a fox") -> FittedRequest:
    return fit(VideoRequest(prompt), HUNYUAN)


async def run(
    place: Place, deadline_seconds: float = 60.0, resume: Prediction | None = None
) -> HostedVideo[FittedRequest]:
    return await place.engine(deadline_seconds).run(request(), place.told.tell, place.told.keep, resume)


async def test_progress_goes_from_the_submission_to_the_video(wavespeed: Place) -> None:
    video = await run(wavespeed)
    percents = [percent for percent, _ in wavespeed.told.progress]
    assert percents[0] == 10
    assert percents[-1] == 100
    assert percents == sorted(percents)
    assert len([percent for percent in percents if 20 < percent < 80]) == wavespeed.jobs.polls
    assert video.content[4:8] == b"ftyp"
    assert wavespeed.told.kept == [None, video.prediction]
    assert wavespeed.jobs.asked == {"submit": 1, "poll": 3, "download": 1}


BUSY = JSONResponse({"code": 429, "message": "too many requests"}, 429)
AWAY = Response(b"<html>bad gateway</html>", 502)


@pytest.mark.parametrize("kind", ["poll", "download"])
@pytest.mark.parametrize("trouble", [Response(status_code=503), Response(status_code=500), AWAY, Cut()])
async def test_what_costs_nothing_is_asked_again(wavespeed: Place, kind: Request, trouble: Response) -> None:
    wavespeed.instead(kind, trouble, trouble)
    assert (await run(wavespeed)).content[4:8] == b"ftyp"
    assert wavespeed.jobs.asked["submit"] == 1


@pytest.mark.parametrize("trouble", [BUSY, Response(status_code=503)])
async def test_a_job_that_was_surely_not_taken_is_sent_again(wavespeed: Place, trouble: Response) -> None:
    wavespeed.instead("submit", trouble, trouble)
    await run(wavespeed)
    assert wavespeed.jobs.asked["submit"] == 3
    assert len(wavespeed.jobs.taken) == 1


@pytest.mark.parametrize("trouble", [AWAY, Response(status_code=500), Cut(), Response(b"no JSON")])
async def test_a_job_that_may_have_been_taken_is_not_sent_again(wavespeed: Place, trouble: Response) -> None:
    wavespeed.instead("submit", trouble)
    with pytest.raises(SubmissionUncertain, match="charged"):
        await run(wavespeed)
    assert wavespeed.jobs.asked == {"submit": 1}
    assert wavespeed.told.kept == [None]


async def test_nobody_listens(wavespeed: Place) -> None:
    wavespeed.provider.transport._client.base_url = "http://127.0.0.1:9"  # type: ignore[attr-defined]
    with pytest.raises(ProviderDeadline, match=r"did not take the job within 0\.3 s"):
        await run(wavespeed, 0.3)
    assert wavespeed.told.kept == [None]


async def test_the_provider_says_when_to_ask_again(wavespeed: Place) -> None:
    wavespeed.instead("poll", Response(status_code=503, headers={"Retry-After": "1"}))
    began = time.monotonic()
    await run(wavespeed)
    assert time.monotonic() - began >= 1


async def test_the_deadline_holds_while_polls_fail(wavespeed: Place) -> None:
    wavespeed.instead("poll", *[Response(status_code=500)] * 10_000)
    taken = await wavespeed.nearly_late(request())
    with pytest.raises(ProviderDeadline) as late:
        await run(wavespeed, resume=taken)
    (job,) = wavespeed.jobs.taken
    assert late.value.prediction_id == job.id
    assert job.cancelled


async def test_the_deadline_holds_for_a_job_that_stalls(wavespeed: Place) -> None:
    wavespeed.jobs.polls = 10**9
    taken = await wavespeed.nearly_late(request())
    with pytest.raises(ProviderDeadline):
        await run(wavespeed, resume=taken)
    assert wavespeed.jobs.asked["submit"] == 1


async def test_a_job_that_was_sent_before_a_crash_is_fetched(wavespeed: Place) -> None:
    first = await run(wavespeed)
    again = await run(wavespeed, resume=Prediction.from_json(first.prediction.to_json()))
    assert again.content == first.content
    assert wavespeed.jobs.asked["submit"] == 1
    with pytest.raises(ProviderDeadline):  # it counts from the submission
        await run(wavespeed, resume=Prediction("x", time.time() - 100))
    assert wavespeed.jobs.asked["submit"] == 1


async def test_who_cancels_stops_the_job_at_the_provider(wavespeed: Place) -> None:
    wavespeed.jobs.polls = 10**9
    work = asyncio.create_task(run(wavespeed))
    await until(lambda: wavespeed.jobs.asked["poll"] > 1)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert work.cancelled()
    assert wavespeed.jobs.taken[0].cancelled


async def test_who_goes_on_later_does_not(wavespeed: Place) -> None:
    wavespeed.jobs.polls = 10**9
    told = wavespeed.told

    async def never() -> bool:
        return False

    work = asyncio.create_task(wavespeed.engine().run(request(), told.tell, told.keep, cancels=never))
    await until(lambda: wavespeed.jobs.asked["poll"] > 1)
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    assert wavespeed.jobs.asked["cancel"] == 0


async def test_a_job_that_is_being_sent_becomes_known(wavespeed: Place) -> None:
    """It is paid for, so its id must not be lost with who cancels at that moment."""
    submit = wavespeed.provider.submit
    sending = asyncio.Event()

    async def slow(request: FittedRequest) -> Prediction:
        sending.set()
        await asyncio.sleep(0.1)
        return await submit(request)

    wavespeed.provider.submit = slow  # type: ignore[method-assign]
    work = asyncio.create_task(run(wavespeed))
    await sending.wait()
    work.cancel()
    await asyncio.gather(work, return_exceptions=True)
    (job,) = wavespeed.jobs.taken
    assert wavespeed.told.kept[-1] is not None
    assert wavespeed.told.kept[-1].id == job.id
    assert job.cancelled


@pytest.mark.parametrize("content", [b"", b"<html>expired</html>", b"\x89PNG\r\n\x1a\n"])
async def test_what_is_no_video_is_refused(wavespeed: Place, content: bytes) -> None:
    wavespeed.jobs.content = content
    with pytest.raises(InvalidAnswer) as refused:
        await run(wavespeed)
    assert refused.value.prediction_id == wavespeed.jobs.taken[0].id


async def test_a_video_that_is_too_large_is_not_read_to_its_end(wavespeed: Place) -> None:
    wavespeed.jobs.content = bytes(3_000_000)
    engine = replace(wavespeed.engine(), max_bytes=1_000_000)
    with pytest.raises(InvalidAnswer, match="more than 1000000 bytes"):
        await engine.run(request(), wavespeed.told.tell, wavespeed.told.keep)


@pytest.mark.parametrize("status", [403, 404, 410])
async def test_a_url_that_has_expired_is_asked_for_anew(wavespeed: Place, status: int) -> None:
    wavespeed.instead("download", Response(status_code=status))
    assert (await run(wavespeed)).content[4:8] == b"ftyp"
    assert wavespeed.jobs.asked == {"submit": 1, "poll": 4, "download": 2}


async def test_a_url_that_is_never_right_is_given_up(wavespeed: Place) -> None:
    wavespeed.instead("download", *[Response(status_code=403)] * 10)
    with pytest.raises(InvalidAnswer, match="status 403") as failed:
        await run(wavespeed)
    assert wavespeed.jobs.asked == {"submit": 1, "poll": 4, "download": 2}
    assert failed.value.prediction_id == wavespeed.jobs.taken[0].id


async def test_redirects_of_a_video_are_followed_without_its_keys(wavespeed: Place) -> None:
    def redirect(where: str) -> Response:
        return Response(status_code=302, headers={"Location": where})

    elsewhere = redirect(f"{wavespeed.url.replace('127.0.0.1', 'localhost')}/files/x.mp4")
    wavespeed.instead("download", elsewhere, Response(status_code=404), elsewhere)
    with pytest.raises(InvalidAnswer, match="status 404"):
        await run(wavespeed)
    wavespeed.instead("download", redirect("file:///etc/passwd"))
    with pytest.raises(InvalidAnswer, match="not behind HTTP"):
        await run(wavespeed)
    wavespeed.instead("download", *[redirect("/files/x.mp4")] * 10)
    with pytest.raises(InvalidAnswer, match="too many redirects"):
        await run(wavespeed)
