"""From a job of the video service to the answer."""

import base64
from typing import Any

from frontend.jobs.hosted_spec import HostedSpec
from frontend.jobs.state import FinishedJob, Job
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
    about = {"provider": provider, "model": job.spec.model, "mode": _mode(job, made)}
    prices = [output.report.spec.price for output in job.outputs if isinstance(output.report.spec, HostedSpec)]
    warned = [warning for output in job.outputs for warning in output.report.warnings]
    data = VideoServiceData(
        **about,
        video_url=urls[0],
        video_urls=urls,
        video_id=job.spec.id,
        duration=float(job.num_frames / job.fps),
        settings={**about, "number_of_videos": len(urls), **_done(job, made)},
        changes=list(dict.fromkeys([*job.spec.warnings, *warned])),
        cost=round(sum(prices), 4),
        source_video_id=source_video_id,
    )
    return VideoServiceResponse(message=f"{len(urls)} video{'s' if urls[1:] else ''} by {provider}", data=data)


def data_uris(finished: FinishedJob) -> list[str]:
    """The files themselves."""
    return [f"data:video/mp4;base64,{base64.b64encode(file).decode()}" for file in finished.files]


def _mode(job: Job, made: AnySpec | HostedSpec) -> Mode:
    if isinstance(made, HostedSpec):
        modes: dict[str, Mode] = {
            "text-to-video": "text_to_video",
            "image-to-video": "image_to_video",
            "video-to-video": "video_to_video",
            "video-extension": "video_extension",
        }
        return modes[made.operation]
    if job.spec.extends is not None:
        return "video_extension"
    return "image_to_video" if job.has_image else "text_to_video"


def _done(job: Job, made: AnySpec | HostedSpec) -> dict[str, Any]:
    """What is known of how it was made."""
    done: dict[str, Any] = {
        "duration_seconds": made.duration if isinstance(made, HostedSpec) else float(job.num_frames / job.fps),
        "width": made.width,
        "height": made.height,
        "fps": float(job.fps),
        "negative_prompt": made.negative_prompt or None,
        "seed": made.seed,
    }
    if isinstance(made, HostedSpec):
        names = ("aspect_ratio", "resolution", "enhance_prompt", "generate_audio", "poll_seconds")
        done |= {name: getattr(made, name) or None for name in names}
        done["poll_interval_seconds"] = done.pop("poll_seconds")
        done["poll_timeout_seconds"] = made.timeout_seconds
    return {name: value for name, value in done.items() if value is not None}
