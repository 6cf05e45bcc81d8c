"""Jobs for the tests: of videos, or of images, as small as the test card allows."""

from collections.abc import Mapping
from fractions import Fraction
from types import MappingProxyType
from typing import Any, cast

from frontend.jobs.checkpoints import Checkpoints, Standing
from frontend.jobs.hosted_spec import HostedSpec
from frontend.jobs.product import ImageProduct, VideoProduct
from frontend.jobs.record import RunRecord
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import Job, Output
from frontend.providers.request import VideoRequest, fit
from frontend.providers.wavespeed import HUNYUAN
from frontend.storage.storage import Storage
from protocol.events import Done
from protocol.resolve import parse, resolve
from tests.frontend.fake_generator import TIMINGS
from tests.model_cards import model_card, text_to_image_card

SIZE = {"width": 32, "height": 16, "num_inference_steps": 2}


def video_spec(n: int = 1, job_id: str = "video_1", **changes: Any) -> JobSpec:
    """`n` videos of 9 frames, with the seeds from 5."""
    samples = [resolve(parse({"prompt": "a fox", "seed": 5 + i, **SIZE}), model_card()) for i in range(n)]
    fields = {"id": job_id, "product": VideoProduct(fps=Fraction(8)), "model": "toy-wan-t2v", "samples": tuple(samples)}
    return JobSpec(**{**fields, "request_id": "r", "created_at": 1000.0, **changes})


def image_spec(n: int = 1) -> JobSpec:
    """`n` images, with the seeds from 5."""
    samples = [resolve(parse({"prompt": "a fox", "seed": 5 + i, **SIZE}), text_to_image_card()) for i in range(n)]
    fields = {"id": "image_1", "product": ImageProduct(), "model": "toy-qwen-image", "samples": tuple(samples)}
    return JobSpec(**fields, request_id="r", created_at=1000.0)


def hosted_spec(n: int = 1, job_id: str = "video_1", **changes: Any) -> JobSpec:
    """`n` videos of WaveSpeed, of 5 seconds in 720p."""
    sample = HostedSpec.of(fit(VideoRequest("a fox"), HUNYUAN), timeout_seconds=60, poll_seconds=0.05)
    return video_spec(job_id=job_id, model=HUNYUAN.id, samples=(sample,) * n, **changes)


def completed(spec: JobSpec) -> Job:
    """A job that has made what `spec` says, at 1010 s."""
    reports = [Done(model=spec.model, spec=sample, timings=TIMINGS) for sample in spec.samples]
    job = Job(spec=spec, outputs=tuple(Output(report=report, encode_seconds=0.1) for report in reports))
    return job.with_state(job.state.completed(1010.0))


def unsaved(spec: JobSpec, submissions: Mapping[int, str] = MappingProxyType({})) -> RunRecord:
    """Of a first run in which no checkpoint is made, so that no storage is asked; what is submitted is kept nowhere."""

    async def standing(job: Job) -> Standing:
        return "runs"

    async def write(job: Job, submissions: Mapping[int, str]) -> None:
        """All that there is to do is done by the record."""

    job = Job(spec=spec, submissions=dict(submissions))
    return RunRecord(job, Checkpoints(job, cast(Storage, None), standing), standing, write)
