"""Jobs of hosted providers, whose servers are ended while they run: each is paid for once."""

import base64
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from frontend.jobs.hosted_runner import HostedRunner
from frontend.jobs.hosted_spec import HostedSpec
from frontend.metrics import Metrics
from frontend.providers.demo.stage import Stage, on_stage
from frontend.providers.errors import SubmissionUncertain
from frontend.providers.registry import Registry
from frontend.providers.request import InputImage, VideoRequest, fit
from frontend.providers.wavespeed import HUNYUAN
from tests.frontend.jobs.frontend_process import Frontend, Place
from tests.frontend.jobs.specs import hosted_spec, unsaved
from tests.waiting import wait_until

MODELS = {"wavespeed": "hunyuan-video-1.5", "gemini": "veo-3.1-fast", "openai": "sora-2", "klingai": "kling-v1"}


@pytest.fixture
def stage() -> Iterator[Stage]:
    with on_stage(polls=10**9) as running:
        yield running


@pytest.mark.slow
def test_each_job_goes_on_after_its_server_was_stopped_and_killed(
    stage: Stage, sqlite_url: str, tmp_path: Path
) -> None:
    place = Place(sqlite_url, tmp_path)
    frontend = Frontend(tmp_path, "127.0.0.1:9", place.url, **stage.environment)

    def polled(times: int) -> None:
        before = {name: jobs.asked["poll"] for name, jobs in stage.jobs.items()}
        wait_until(lambda: all(jobs.asked["poll"] >= before[name] + times for name, jobs in stage.jobs.items()))

    try:
        frontend.start()
        for name, model in MODELS.items():
            video = {"model": model, "poll_interval_seconds": 0.1}
            frontend.ask(name, path="/video/generate", customer_id=1, settings={"video": video})
        polled(2)
        frontend.stop()
        frontend.start()
        polled(2)
        frontend.kill()
        for jobs in stage.jobs.values():
            jobs.polls = 0  # all of them are done meanwhile
        frontend.start()
        wait_until(lambda: place.has_completed(len(MODELS)))
        for job in place.jobs().values():
            content = httpx.get(f"{frontend.url}/v1/videos/{job.spec.id}/content").content
            assert content[4:8] == b"ftyp"
    finally:
        frontend.kill()
        place.close()
    for name, jobs in stage.jobs.items():
        assert (jobs.asked["submit"], len(jobs.taken)) == (1, 1), name
        assert not jobs.taken[0].cancelled, name


async def test_what_may_have_been_sent_is_not_sent_again(stage: Stage) -> None:
    spec = hosted_spec()
    record = unsaved(spec, submissions={0: ""})
    async with Registry(stage.environment) as registry:
        with pytest.raises(SubmissionUncertain, match="look there before you ask again"):
            await HostedRunner(registry, Metrics()).run(spec, _hear_nothing, record)
    assert stage.jobs["wavespeed"].asked["submit"] == 0


async def test_a_job_that_was_paid_for_long_ago_is_still_fetched(stage: Stage) -> None:
    spec = hosted_spec()
    jobs = stage.jobs["wavespeed"]
    async with Registry(stage.environment) as registry:
        provider, model = registry.find(spec.model)
        sample = spec.samples[0]
        assert isinstance(sample, HostedSpec)
        prediction = await provider.submit(sample.request(model, None))
        jobs.polls = 0
        old = replace(prediction, submitted_at=prediction.submitted_at - 24 * 3600)
        record = unsaved(spec, submissions={0: old.to_json()})

        ((file, output),) = await HostedRunner(registry, Metrics()).run(spec, _hear_nothing, record)

    assert file[4:8] == b"ftyp"
    assert output.report.spec.num_frames == 5 * 8
    assert (jobs.asked["submit"], jobs.taken[0].cancelled) == (1, False)


@pytest.mark.parametrize(("noisy", "media_type"), [(False, "png"), (True, "jpeg")])
async def test_images_are_sent_in_a_size_that_providers_take(stage: Stage, noisy: bool, media_type: str) -> None:
    pixels = (
        np.random.default_rng(0).integers(0, 256, (1500, 1500, 3), np.uint8) if noisy else np.zeros((8, 8, 3), np.uint8)
    )
    sample = HostedSpec.of(
        fit(VideoRequest("a fox", image=InputImage(b"", "image/png")), HUNYUAN), timeout_seconds=60, poll_seconds=0.05
    )
    spec = hosted_spec().model_copy(update={"samples": (sample,), "image": pixels})
    stage.jobs["wavespeed"].polls = 0
    async with Registry(stage.environment) as registry:
        await HostedRunner(registry, Metrics()).run(spec, _hear_nothing, unsaved(spec))
    (job,) = stage.jobs["wavespeed"].taken
    head, _, text = job.inputs["image"].partition(",")
    assert head == f"data:image/{media_type};base64"
    assert Image.open(io.BytesIO(base64.b64decode(text))).size == pixels.shape[1::-1]


async def _hear_nothing(_: object) -> None:
    """Nobody listens."""
