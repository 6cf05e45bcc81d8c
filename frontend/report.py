"""From jobs to what the responses say about them."""

import asyncio
import base64
from typing import Any

from pydantic import BaseModel

from frontend.job_files import THUMBNAIL
from frontend.jobs.hosted_spec import HostedSpec
from frontend.jobs.product import ImageProduct, VideoProduct
from frontend.jobs.state import FinishedJob, HostedReport, Job, Output
from frontend.links import Links
from frontend.schemas.images_generations import ImageCompleted, ImageData, ImageGenerationResponse, ImageParams
from frontend.schemas.jobs import JobFile, JobObject
from frontend.schemas.record import RecordError
from frontend.schemas.timings import Timings
from frontend.schemas.video_report import HostedParams, HostedSource, VideoData
from frontend.schemas.videos import CreatedVideo, Video
from frontend.schemas.videos_generations import VideoGenerationResponse
from protocol.sampling import VideoSampling


async def videos_response(finished: FinishedJob, links: Links, response_format: str | None) -> VideoGenerationResponse:
    """Of `POST /v1/videos/generations`."""
    return VideoGenerationResponse(
        **_video_fields(finished.job),
        timings=_timings(finished.job),
        created=_finished_at(finished.job),
        seconds=finished.job.seconds,
        data=await _video_data(finished, links, response_format),
    )


async def created_video(finished: FinishedJob, links: Links, response_format: str | None) -> CreatedVideo:
    """Of a `POST /v1/videos` that waits: the video object, and the videos themselves."""
    return CreatedVideo(
        **dict(video_object(finished.job, links)),
        created=_finished_at(finished.job),
        data=await _video_data(finished, links, response_format),
    )


def video_object(job: Job, links: Links) -> Video:
    """OpenAI's video object, of a job in any state."""
    state = job.state
    is_completed = state.status == "completed"
    urls = links.of(job) if is_completed else []
    return Video(
        **_video_fields(job),
        **_record_fields(job),
        status="failed" if state.status == "cancelled" else state.status,
        seconds=f"{job.seconds:g}",
        url=urls[0] if urls else None,
        urls=urls,
    )


def job_object(job: Job, links: Links) -> JobObject:
    """A job of either kind, in any state."""
    state, made = job.state, job.made
    is_completed, is_video = state.status == "completed", isinstance(job.spec.product, VideoProduct)
    return JobObject(
        **_common_fields(job),
        **_record_fields(job),
        kind=job.spec.product.kind,
        task=job.task,
        status=state.status,
        negative_prompt=made.negative_prompt or None,
        n=len(job.spec.samples),
        num_frames=job.num_frames if is_video else None,
        fps=float(job.fps) if is_video else None,
        seconds=job.seconds if is_video else None,
        params=_params(job),
        lora=() if isinstance(made, HostedSpec) else made.lora,
        files=_job_files(job, links) if is_completed else [],
    )


async def images_response(finished: FinishedJob, links: Links, response_format: str | None) -> ImageGenerationResponse:
    """Of `POST /v1/images/generations`."""
    job = finished.job
    assert isinstance(job.spec.product, ImageProduct)
    contents = await _contents(finished, response_format)
    return ImageGenerationResponse(
        **_common_fields(job),
        timings=_timings(job),
        created=_finished_at(job),
        output_format=job.spec.product.format,
        params=_params(job),
        data=[
            ImageData(b64_json=content, url=url, **_output_fields(output))
            for content, url, output in zip(contents, links.of(job), job.outputs, strict=True)
        ],
    )


def image_events(response: ImageGenerationResponse) -> list[ImageCompleted]:
    """The images one by one, as a stream has them."""
    return [
        ImageCompleted(
            b64_json=image.b64_json,
            url=image.url,
            created_at=response.created,
            size=response.size,
            output_format=response.output_format,
            seed=image.seed,
        )
        for image in response.data
    ]


def _video_fields(job: Job) -> dict[str, Any]:
    """What all descriptions of videos have."""
    return {
        **_common_fields(job),
        "num_frames": job.num_frames,
        "fps": float(job.fps),
        "params": _params(job),
    }


def _common_fields(job: Job) -> dict[str, Any]:
    """What all descriptions have of what is made, or was."""
    made = job.made
    return {
        "model": job.spec.model,
        "size": f"{made.width}x{made.height}",
        "warnings": job.warnings,
    }


def _record_fields(job: Job) -> dict[str, Any]:
    """What all descriptions have of a job that stays."""
    state = job.state
    is_completed = state.status == "completed"
    return {
        "id": job.spec.id,
        "progress": state.progress,
        "prompt": job.spec.prompt,
        "created_at": int(job.spec.created_at),
        "completed_at": _finished_at(job) if is_completed else None,
        "expires_at": None if state.expires_at is None else int(state.expires_at),
        "error": _error(job),
        "remixed_from_video_id": job.spec.remixed_from,
        "timings": _timings(job) if is_completed else None,
        "hosted": _hosted(job) or None,
    }


def _params(job: Job) -> Any:
    made = job.made
    own = VideoSampling if isinstance(job.spec.product, VideoProduct) else ImageParams
    kind: type[BaseModel] = HostedParams if isinstance(made, HostedSpec) else own
    return kind.model_validate(made, from_attributes=True)


def _job_files(job: Job, links: Links) -> list[JobFile]:
    return [
        JobFile(
            index=index,
            url=url,
            thumbnail_url=thumbnail_url,
            media_type=job.spec.product.media_type,
            bytes=output.bytes,
            seed=output.report.spec.seed,
        )
        for index, (url, thumbnail_url, output) in enumerate(
            zip(links.of(job), links.of(job, THUMBNAIL), job.outputs, strict=True)
        )
    ]


def _timings(job: Job) -> Timings:
    parts = [Timings.of_job(output.report.timings, output.encode_seconds) for output in job.outputs]
    return Timings.of_request(parts, max(0.0, (job.state.finished_at or 0) - job.spec.created_at))


def _hosted(job: Job) -> list[HostedSource]:
    """What hosted providers call what they have made."""
    reports = [output.report for output in job.outputs if isinstance(output.report, HostedReport)]
    return [
        HostedSource(prediction_id=report.prediction_id, source_video_url=report.source_video_url or None)
        for report in reports
    ]


def _error(job: Job) -> RecordError | None:
    if job.state.status == "cancelled":
        return RecordError(code="cancelled", message="The job was cancelled.")
    error = job.state.error
    return None if error is None else RecordError(code=error.code, message=error.message, param=error.field)


async def _video_data(finished: FinishedJob, links: Links, response_format: str | None) -> list[VideoData]:
    """The videos as JSON has them."""
    contents = await _contents(finished, response_format)
    return [
        VideoData(b64_json=content, url=url, **_output_fields(output))
        for content, url, output in zip(contents, links.of(finished.job), finished.job.outputs, strict=True)
    ]


async def _contents(finished: FinishedJob, response_format: str | None) -> list[str] | list[None]:
    """The files as text; none where the answer has their URLs alone."""
    return [None for _ in finished.files] if response_format == "url" else await base64_of(finished)


async def base64_of(finished: FinishedJob) -> list[str]:
    """The files as text."""
    return [(await asyncio.to_thread(base64.b64encode, file)).decode() for file in finished.files]


def _output_fields(output: Output) -> dict[str, Any]:
    return {
        "seed": output.report.spec.seed,
        "timings": Timings.of_job(output.report.timings, output.encode_seconds),
    }


def _finished_at(job: Job) -> int:
    return int(job.state.finished_at or 0)
