"""The job of a hosted model."""

import time

from frontend.errors import NotImplementedHere
from frontend.http.request_id import current_request_id
from frontend.jobs.hosted_spec import HostedSpec
from frontend.jobs.product import VideoProduct
from frontend.jobs.spec import JobSpec, new_job_id
from frontend.media.reference_image import ReferenceImage
from frontend.plan import exact_fps
from frontend.providers.hosted_model import PORTRAIT, HostedModel
from frontend.providers.request import FittedRequest, InputImage, VideoRequest, fit
from frontend.schemas.video_service import VideoSettings
from frontend.video_service.wishes import check_strict, named, untaken
from protocol.errors import InvalidRequest

_TIMEOUT_SECONDS = 600.0
_SETTINGS = {"duration": "duration_seconds", "video": "video_id"}
"""fields of a request to a provider that are called otherwise in `settings.video`"""
_OUTSIDE = {"image": "input_image_url", "prompt": "prompt"}
"""and those that are not in there"""
_LARGEST_IMAGE_SIDE = 2048
"""pixels of what is sent to a provider; larger images are scaled down"""


def plan_hosted(
    prompt: str,
    settings: VideoSettings,
    model: HostedModel,
    image: ReferenceImage | None = None,
    source: str | None = None,
) -> JobSpec:
    """The job; it does not have the image yet.

    Args:
        source: the video that goes on, as the provider knows it.

    Raises:
        InvalidRequest: names the field.
        NotImplementedHere: the model extends no videos.
    """
    if source is not None and not model.can("video-extension"):
        raise NotImplementedHere(f"{model.id} extends no videos", named("model"))
    fitted = _fitted(prompt, settings, model, image, source)
    changes = [_in_clients_words(change) for change in fitted.changes]
    changes += untaken(settings, model.id, "fps")
    check_strict(settings, changes)
    first = HostedSpec.of(
        fitted,
        timeout_seconds=settings.poll_timeout_seconds or _TIMEOUT_SECONDS,
        poll_seconds=settings.poll_interval_seconds,
    )
    seeds = [None if first.seed is None else first.seed + i for i in range(settings.number_of_videos or 1)]
    return JobSpec(
        id=new_job_id("video"),
        product=VideoProduct(fps=exact_fps(first.fps)),
        model=model.id,
        samples=tuple(first.model_copy(update={"seed": seed}) for seed in seeds),
        warnings=tuple(changes),
        request_id=current_request_id(),
        created_at=time.time(),
    )


def size_of_start(spec: JobSpec, image: ReferenceImage) -> tuple[int, int]:
    """Width and height in pixels that a job needs its image in: the video's, or what is sent to a provider."""
    if not spec.is_hosted:
        return spec.samples[0].width, spec.samples[0].height
    scale = min(1.0, _LARGEST_IMAGE_SIDE / max(image.width, image.height))
    return max(1, round(image.width * scale)), max(1, round(image.height * scale))


def _fitted(
    prompt: str, settings: VideoSettings, model: HostedModel, image: ReferenceImage | None, source: str | None
) -> FittedRequest:
    wanted = VideoRequest(
        prompt=prompt,
        duration=settings.duration_seconds,
        resolution=settings.resolution,
        aspect_ratio=settings.aspect_ratio or _default_ratio(model, is_from_text=image is None and source is None),
        negative_prompt=settings.negative_prompt or None,
        seed=settings.seed,
        generate_audio=settings.generate_audio,
        enhance_prompt=settings.enhance_prompt,
        image=None if image is None else InputImage(b"", "image/png"),  # the job's own takes its place
        source=source,
    )
    try:
        return fit(wanted, model)
    except InvalidRequest as error:
        field = error.field
        if field is not None:
            field = _OUTSIDE.get(field) or named(_SETTINGS.get(field, field))
        raise InvalidRequest(error.message, field) from None


def _default_ratio(model: HostedModel, *, is_from_text: bool) -> str | None:
    """Portrait for who asks for none, as clients of the service know it."""
    return PORTRAIT if is_from_text and PORTRAIT in model.offer("text-to-video").aspect_ratios else None


def _in_clients_words(change: str) -> str:
    """A sentence about a field of a request to a provider, whose name it begins with."""
    name, _, rest = change.partition(" ")
    return f"{_SETTINGS.get(name, name)} {rest}"
