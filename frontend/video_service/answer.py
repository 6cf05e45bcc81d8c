"""From a job of the video service to the answer."""

from typing import Any, cast

from frontend.jobs.hosted_spec import HostedSpec
from frontend.jobs.state import Job
from frontend.schemas.video_service import Mode, VideoServiceData, VideoServiceResponse
from frontend.video_service.service import LOCAL
from protocol.sampling import AnySpec


def answer_of(job: Job, urls: list[str], source_video_id: str | None = None) -> VideoServiceResponse:
    """What is said of a completed job.

    Args:
        urls: of its files.
        source_video_id: of an extension: the video that went on, as the request called it.
    """
    made = job.made
    provider = made.provider if isinstance(made, HostedSpec) else LOCAL
    about = {"provider": provider, "model": job.spec.model, "mode": cast(Mode, job.task.replace("-", "_"))}
    prices = [output.report.spec.price for output in job.outputs if isinstance(output.report.spec, HostedSpec)]
    data = VideoServiceData(
        **about,
        video_url=urls[0],
        video_urls=urls,
        video_id=job.spec.id,
        duration=job.seconds,
        settings={**about, "number_of_videos": len(urls), **_done(job, made)},
        changes=job.warnings,
        cost=round(sum(prices), 4),
        source_video_id=source_video_id,
    )
    return VideoServiceResponse(message=f"{len(urls)} video{'s' if urls[1:] else ''} by {provider}", data=data)


def _done(job: Job, made: AnySpec | HostedSpec) -> dict[str, Any]:
    """What is known of how it was made."""
    done: dict[str, Any] = {
        "duration_seconds": made.duration if isinstance(made, HostedSpec) else job.seconds,
        "width": made.width,
        "height": made.height,
        "fps": float(job.fps),
        "negative_prompt": made.negative_prompt or None,
        "seed": made.seed,
    }
    if isinstance(made, HostedSpec):
        done |= {
            "aspect_ratio": made.aspect_ratio or None,
            "resolution": made.resolution,
            "enhance_prompt": made.enhance_prompt,
            "generate_audio": made.generate_audio,
            "poll_interval_seconds": made.poll_seconds,
            "poll_timeout_seconds": made.timeout_seconds,
        }
    return {name: value for name, value in done.items() if value is not None}
