"""What a video request comes to: the clips to make, and what of it was not done as written."""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import floor

import numpy as np
from numpy.typing import NDArray

from frontend.media.reference_image import FIELD, ReferenceImage
from frontend.sampling_plan import Options, plan_jobs
from frontend.schemas.video_fields import VideoRequest, VideoSamplingFields
from frontend.unknown_fields import refuse_unknown, warnings_of
from protocol.errors import InvalidRequest
from protocol.model_card import ModelCard
from protocol.sampling import AnySpec

_LARGEST_FPS_DENOMINATOR = 1001
"""enough for three decimals (23.976) and for the NTSC rates (24000/1001), and small enough for an MP4's clock"""
_LENGTH = frozenset({"num_frames", "seconds"})
"""they say the same thing"""
_MENTIONED_LOSS = 0.05
"""fraction of an image that may be cropped without a word"""


@dataclass(frozen=True)
class VideoPlan:
    """The clips of one request; they differ in their seeds only."""

    model: str
    clips: tuple[AnySpec, ...]
    fps: Fraction
    warnings: tuple[str, ...]

    def starting_from(self, image: NDArray[np.uint8]) -> "VideoPlan":
        """The same clips, from `image`: uint8 [height, width, RGB] of their size."""
        return replace(self, clips=tuple(clip.model_copy(update={"image": image}) for clip in self.clips))


def check_supported(request: VideoRequest, *, refuse_unknown_fields: bool) -> None:
    """Refuse what no model here can do.

    Raises:
        InvalidRequest: naming the field and what is allowed.
        UnknownFields: naming the unknown fields, if the server refuses them.
    """
    if refuse_unknown_fields:
        refuse_unknown(request)
    if request.stream:
        raise InvalidRequest("streaming is not supported yet, leave it out or say false", "stream")
    if request.response_format not in (None, "b64_json"):
        raise InvalidRequest("must be b64_json", "response_format")


def plan_video(request: VideoRequest, card: ModelCard, image: ReferenceImage | None = None) -> VideoPlan:
    """Fill in what the request leaves open, and check that the model can do it.

    Args:
        image: what the clips start from. They do not have it yet: it is fitted to the size that they turn out to have.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    options = _collect(request)
    fps = exact_fps(options.values.pop("fps", card.defaults.fps))
    warnings = warnings_of(request)
    seconds = options.values.pop("seconds", None)
    if seconds is not None and "num_frames" in options.values:
        warnings.append("seconds has no effect beside num_frames")
    elif seconds is not None:
        options.set_default("num_frames", frames_in(seconds, fps), options.sources["seconds"])
    if image is not None:
        _fill_from_image(options, card, image)
    clips = plan_jobs(options, card, request.n or 1)
    width, height = clips[0].width, clips[0].height
    if image is not None and (lost := image.lost_by(width, height)) > _MENTIONED_LOSS:
        warnings.append(f"{FIELD}: {lost:.0%} of the image was cut off to fill {width}x{height}")
    asked, made = options.values.get("num_frames"), clips[0].num_frames
    if asked not in (None, made):
        warnings.append(f"num_frames: {asked} is not {card.latents.temporal_stride}k+1, {made} were made")
    return VideoPlan(card.id, clips, fps, tuple(warnings))


def exact_fps(fps: float) -> Fraction:
    """The number as its decimal digits say it, not as the nearest binary fraction: 23.976 is 2997/125."""
    return Fraction(str(fps)).limit_denominator(_LARGEST_FPS_DENOMINATOR)


def frames_in(seconds: float, fps: Fraction) -> int:
    """The frames of a clip whose last frame is shown `seconds` after its first."""
    return floor(Fraction(str(seconds)) * fps) + 1


def _fill_from_image(options: Options, card: ModelCard, image: ReferenceImage) -> None:
    """The clip's size where it is open, and an image of that size that takes no memory and stands for the real one."""
    width, height = image.size_for(card, options.values.get("width"), options.values.get("height"))
    options.set_default("width", width, FIELD)
    options.set_default("height", height, FIELD)
    options.set_default("image", np.broadcast_to(np.uint8(0), (height, width, 3)), FIELD)


def _collect(request: VideoRequest) -> Options:
    """Top level first, then `video_params`, then `extra_body`; each fills only what is absent before it."""
    options = Options()
    options.set_default("prompt", request.prompt, "prompt")
    options.fill(request, VideoSamplingFields.model_fields)
    if request.size is not None:
        options.fill_size(request.size)
    for prefix, group in (("video_params.", request.video_params), ("extra_body.", request.extra_body)):
        if group is not None:
            names = type(group).model_fields.keys()
            # A length given further up rules out one that is given otherwise here.
            options.fill(group, names if _LENGTH.isdisjoint(options.values) else names - _LENGTH, prefix)
    return options
