"""The job of a hosted model for a request of OpenAI's form."""

from math import gcd
from typing import Any

from frontend.jobs.spec import JobSpec
from frontend.media.reference_image import FIELD, ReferenceImage
from frontend.plan import collect
from frontend.providers.hosted_model import HostedModel
from frontend.providers.request import SHORT_SIDES
from frontend.schemas.video_fields import VideoRequest
from frontend.schemas.video_service import VideoSettings
from frontend.video_service.hosted_plan import plan_hosted
from protocol.errors import InvalidRequest

_HEEDED = frozenset({"prompt", "width", "height", "seconds", "negative_prompt", "seed"})
_FIELDS = {
    "settings.video.duration_seconds": "seconds",
    "settings.video.aspect_ratio": "size",
    "settings.video.resolution": "size",
    "input_image_url": FIELD,
}
"""fields of the video service, as OpenAI's form calls them"""


def plan_hosted_video(request: VideoRequest, model: HostedModel, image: ReferenceImage | None) -> JobSpec:
    """The job; it does not have the image yet. Raises InvalidRequest: names the field."""
    options = collect(request)
    values = options.values
    if "num_frames" in values:
        raise InvalidRequest(f"{model.id} takes seconds", options.sources["num_frames"])
    wanted: dict[str, Any] = {
        "duration_seconds": values.get("seconds"),
        "number_of_videos": request.n,
        "negative_prompt": values.get("negative_prompt"),
        "seed": values.get("seed"),
        **_shape(values),
    }
    try:
        spec = plan_hosted(request.prompt, VideoSettings.model_validate(wanted), model, image)
    except InvalidRequest as error:
        field = (error.field or "").removeprefix("settings.video.")
        raise InvalidRequest(error.message, _FIELDS.get(error.field or "", field or None)) from None
    unheeded = [source for name, source in options.sources.items() if name not in _HEEDED]
    warnings = [*spec.warnings, *(f"{source} has no effect on {model.id}" for source in unheeded)]
    return spec.model_copy(update={"warnings": tuple(warnings)})


def _shape(values: dict[str, Any]) -> dict[str, str]:
    """Aspect ratio and resolution of a width and a height, where both are given."""
    width, height = values.get("width"), values.get("height")
    if not (width and height):
        return {}
    divisor, short = gcd(width, height), min(width, height)
    resolution = min(SHORT_SIDES, key=lambda name: abs(SHORT_SIDES[name] - short))
    return {"aspect_ratio": f"{width // divisor}:{height // divisor}", "resolution": resolution}
