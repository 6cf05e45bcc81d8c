"""Has a hosted provider make the videos of a job, and pays for each once."""

import asyncio
import time
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from frontend.jobs.events import PartEvent
from frontend.jobs.hosted_spec import HostedSpec
from frontend.jobs.record import RunRecord
from frontend.jobs.runner import Tell, all_parts
from frontend.jobs.spec import JobSpec
from frontend.jobs.state import HostedReport, Output
from frontend.media.image_encoder import ImageEncoder
from frontend.media.video_facts import UnreadableVideo, VideoFacts
from frontend.metrics import Metrics
from frontend.providers.engine import Engine, HostedVideo
from frontend.providers.errors import InvalidAnswer, ProviderDeadline, ProviderError, SubmissionUncertain
from frontend.providers.provider import Prediction
from frontend.providers.registry import Registry
from frontend.providers.request import FittedRequest, InputImage
from protocol.events import JobTimings, Progress

_BEING_SENT = ""
"""see `Job.submissions`"""
_MAY_HAVE_BEEN_TAKEN = (SubmissionUncertain, ProviderDeadline)
_LARGEST_PNG_BYTES = 4 * 2**20
_JPEG_QUALITY = 95
_LEAST_SECONDS = 120.0
"""for which a video that was paid for before a restart is waited for, however long ago that was"""


@dataclass(frozen=True)
class HostedRunner:
    """Runs jobs whose samples are `HostedSpec`s on the providers of `registry`."""

    registry: Registry
    metrics: Metrics

    async def run(self, spec: JobSpec, tell: Tell, record: RunRecord) -> list[tuple[bytes, Output]]:
        """The file and the report of each part, as `JobRunner.run`. What an earlier run has sent is not sent again.

        Raises:
            ProviderError: see the tree in `frontend.providers.errors`.
            JobLost: another run has begun.
        """
        image = None if spec.image is None else await asyncio.to_thread(_file_of, spec.image)
        return await all_parts(spec, lambda part: self._make(spec, part, image, tell, record))

    async def _make(
        self, spec: JobSpec, part: int, image: InputImage | None, tell: Tell, record: RunRecord
    ) -> tuple[bytes, Output]:
        sample = cast(HostedSpec, spec.samples[part])
        provider, model = await asyncio.to_thread(self.registry.find, spec.model, sample.provider)
        clock = _Clock()

        async def hear(percent: float, _: str) -> None:
            await tell(PartEvent(part, Progress(steps_done=int(percent), steps=100, frames_done=0, frames=1)))

        async def keep(prediction: Prediction | None) -> None:
            await record.submit(part, _BEING_SENT if prediction is None else prediction.to_json())
            if prediction is not None:
                clock.taken()

        sent = _sent(record.submission(part), provider.name)
        deadline = sample.timeout_seconds
        if sent is not None:
            deadline = max(deadline, time.time() - sent.submitted_at + _LEAST_SECONDS)
        engine = Engine(provider, deadline, sample.poll_seconds)
        try:
            made = await engine.run(sample.request(model, image), hear, keep, sent, record.is_over)
        except ProviderError as error:
            if record.submission(part) == _BEING_SENT and not isinstance(error, _MAY_HAVE_BEEN_TAKEN):
                await record.withdraw(part)
            raise
        facts = await _facts_of(made, provider.name)
        self.metrics.hosted_video(provider.name, model.id, sample.price)
        report = HostedReport(
            spec=sample.model_copy(
                update={"width": facts.width, "height": facts.height, "num_frames": facts.num_frames, "fps": facts.fps}
            ),
            timings=clock.timings(),
            prediction_id=made.prediction.id,
            source_video_url=made.ready.url,
            extension_source=made.ready.source,
        )
        return made.content, Output(report=report, encode_seconds=0.0, bytes=len(made.content))


class _Clock:
    """How long a video took: until its provider had taken it, and then until it was here."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._taken = self._began

    def taken(self) -> None:
        self._taken = time.monotonic()

    def timings(self) -> JobTimings:
        now = time.monotonic()
        return JobTimings(
            queue_seconds=self._taken - self._began,
            text_seconds=0.0,
            denoise_seconds=now - self._taken,
            decode_seconds=0.0,
            total_seconds=now - self._began,
        )


def _file_of(pixels: NDArray[np.uint8]) -> InputImage:
    """A PNG; a JPEG where that would be larger than most providers take."""
    png = ImageEncoder("png").encode(pixels)
    if len(png) <= _LARGEST_PNG_BYTES:
        return InputImage(png, "image/png")
    return InputImage(ImageEncoder("jpeg", _JPEG_QUALITY).encode(pixels), "image/jpeg")


def _sent(submission: str | None, name: str) -> Prediction | None:
    """What an earlier run has sent. Raises SubmissionUncertain."""
    if submission == _BEING_SENT:
        raise SubmissionUncertain(
            f"the server ended while it sent the job to {name}, which may have taken it, and charged for it: "
            "look there before you ask again"
        )
    return None if submission is None else Prediction.from_json(submission)


async def _facts_of(made: HostedVideo[FittedRequest], name: str) -> VideoFacts:
    try:
        return await asyncio.to_thread(VideoFacts.of, made.content)
    except UnreadableVideo:
        raise InvalidAnswer(
            f"{name} sent an MP4 file without a video that can be read", prediction_id=made.prediction.id
        ) from None
