"""From jobs to what the responses say about them."""

import asyncio
import base64
from typing import Any, TypeVar

from pydantic import BaseModel

from frontend.errors import VideoNotFound
from frontend.jobs.product import ImageProduct, VideoProduct
from frontend.jobs.state import FinishedJob, Job
from frontend.schemas.images_generations import ImageCompleted, ImageData, ImageGenerationResponse, ImageParams
from frontend.schemas.timings import Timings
from frontend.schemas.video_report import VideoData
from frontend.schemas.videos import CreatedVideo, Video
from frontend.schemas.videos_generations import VideoGenerationResponse
from protocol.sampling import VideoSampling

Data = TypeVar("Data", bound=BaseModel)


async def videos_response(finished: FinishedJob) -> VideoGenerationResponse:
    """Of `POST /v1/videos/generations`."""
    return VideoGenerationResponse(
        **_video_fields(finished.job),
        created=_finished_at(finished.job),
        seconds=_seconds(finished.job),
        data=await _data(finished, VideoData),
    )


async def created_video(finished: FinishedJob) -> CreatedVideo:
    """Of `POST /v1/videos`: the video object, and the videos themselves."""
    return CreatedVideo(
        **dict(video_object(finished.job)), created=_finished_at(finished.job), data=await _data(finished, VideoData)
    )


def video_object(job: Job) -> Video:
    """OpenAI's video object. Raises VideoNotFound for a job that is not completed, which it cannot describe yet."""
    if job.state.status != "completed":
        raise VideoNotFound(f"video {job.spec.id!r} is not completed", "video_id")
    return Video(
        **_video_fields(job),
        id=job.spec.id,
        prompt=job.spec.prompt,
        seconds=f"{_seconds(job):g}",
        created_at=int(job.spec.created_at),
        completed_at=_finished_at(job),
        expires_at=int(job.state.expires_at or _finished_at(job)),
    )


async def images_response(finished: FinishedJob) -> ImageGenerationResponse:
    """Of `POST /v1/images/generations`."""
    job = finished.job
    assert isinstance(job.spec.product, ImageProduct)
    return ImageGenerationResponse(
        **_common_fields(job),
        created=_finished_at(job),
        output_format=job.spec.product.format,
        params=ImageParams.model_validate(job.outputs[0].report.spec, from_attributes=True),
        data=await _data(finished, ImageData),
    )


def image_events(response: ImageGenerationResponse) -> list[ImageCompleted]:
    """The images one by one, as a stream has them."""
    return [
        ImageCompleted(
            b64_json=image.b64_json,
            created_at=response.created,
            size=response.size,
            output_format=response.output_format,
            seed=image.seed,
        )
        for image in response.data
    ]


def _video_fields(job: Job) -> dict[str, Any]:
    """What all descriptions of videos have."""
    made = job.outputs[0].report.spec
    return {
        **_common_fields(job),
        "num_frames": made.num_frames,
        "fps": float(_fps(job)),
        "params": VideoSampling.model_validate(made, from_attributes=True),
    }


def _common_fields(job: Job) -> dict[str, Any]:
    """What all descriptions of what was made have."""
    made = job.outputs[0].report.spec
    warned = [warning for output in job.outputs for warning in output.report.warnings]
    parts = [Timings.of_job(output.report.timings, output.encode_seconds) for output in job.outputs]
    return {
        "model": job.spec.model,
        "size": f"{made.width}x{made.height}",
        "timings": Timings.of_request(parts, max(0.0, (job.state.finished_at or 0) - job.spec.created_at)),
        "warnings": list(dict.fromkeys([*job.spec.warnings, *warned])),  # equal for all that are made of one text
    }


async def _data(finished: FinishedJob, schema: type[Data]) -> list[Data]:
    """The videos or images as JSON has them."""
    return [
        schema(
            b64_json=(await asyncio.to_thread(base64.b64encode, file)).decode(),
            seed=output.report.spec.seed,
            timings=Timings.of_job(output.report.timings, output.encode_seconds),
        )
        for file, output in zip(finished.files, finished.job.outputs, strict=True)
    ]


def _finished_at(job: Job) -> int:
    return int(job.state.finished_at or 0)


def _seconds(job: Job) -> float:
    return float(job.outputs[0].report.spec.num_frames / _fps(job))


def _fps(job: Job) -> Any:
    assert isinstance(job.spec.product, VideoProduct)
    return job.spec.product.fps
