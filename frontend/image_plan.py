"""What an image request comes to: the pictures to make, their file format, and what was not done as written."""

from dataclasses import dataclass

from frontend.image_encoder import WEBP_MAX_SIDE, ImageEncoder
from frontend.sampling_plan import Options, plan_jobs
from frontend.schemas.images_generations import AUTO, ImageGenerationRequest, ImageSamplingFields
from frontend.unknown_fields import refuse_unknown, warnings_of
from protocol.errors import InvalidRequest
from protocol.model_card import ModelCard
from protocol.sampling import AnySpec

_WITHOUT_EFFECT = frozenset({"vae_use_slicing", "vae_use_tiling"})


@dataclass(frozen=True)
class ImagePlan:
    """The pictures of one request; they differ in their seeds only."""

    model: str
    pictures: tuple[AnySpec, ...]
    encoder: ImageEncoder
    warnings: tuple[str, ...]


def check_supported(request: ImageGenerationRequest, *, refuse_unknown_fields: bool) -> None:
    """Refuse what no model here can do.

    Raises:
        InvalidRequest: naming the field and what is allowed.
        UnknownFields: naming the unknown fields, if the server refuses them.
    """
    if refuse_unknown_fields:
        refuse_unknown(request)
    if request.stream:
        raise InvalidRequest("streaming is not supported yet, leave it out or say false", "stream")
    if request.partial_images:
        raise InvalidRequest("pictures of the way there are not supported yet, leave it out", "partial_images")
    if request.response_format == "url":
        raise InvalidRequest("there is no storage yet to fetch pictures from, must be b64_json", "response_format")
    if request.response_format not in (None, "b64_json"):
        raise InvalidRequest("must be b64_json", "response_format")
    if request.background == "transparent":
        raise InvalidRequest("pictures are opaque here, must be opaque or auto", "background")
    if request.output_format in (None, "png") and request.output_compression not in (None, 100):
        raise InvalidRequest("less than 100 is for jpeg and webp; png loses nothing", "output_compression")


def plan_image(request: ImageGenerationRequest, card: ModelCard) -> ImagePlan:
    """Fill in what the request leaves open, and check that the model can do it.

    Raises:
        InvalidRequest: naming the field and what is allowed.
    """
    options = _collect(request)
    warnings = warnings_of(request)
    if "guidance_scale" in options.values and card.defaults.guidance_scale is None:
        warnings.append(f"{options.sources['guidance_scale']} has no effect on {card.id}, use true_cfg_scale")
    pictures = plan_jobs(options, card, request.n or 1)
    encoder = _encoder(request)
    longest = max(pictures[0].width, pictures[0].height)
    if encoder.format == "webp" and longest > WEBP_MAX_SIDE:
        raise InvalidRequest(f"webp has sides of at most {WEBP_MAX_SIDE} pixels, got {longest}", "output_format")
    return ImagePlan(card.id, pictures, encoder, tuple(warnings))


def _collect(request: ImageGenerationRequest) -> Options:
    """Top level first, then `extra_body`, which fills only what is absent before it."""
    options = Options()
    options.set_default("prompt", request.prompt, "prompt")
    names = ImageSamplingFields.model_fields.keys() - _WITHOUT_EFFECT
    options.fill(request, names)
    if request.size not in (None, AUTO):
        options.fill_size(request.size)
    if request.extra_body is not None:
        options.fill(request.extra_body, names, "extra_body.")
    return options


def _encoder(request: ImageGenerationRequest) -> ImageEncoder:
    quality = 100 if request.output_compression is None else request.output_compression
    return ImageEncoder(request.output_format or "png", quality)
