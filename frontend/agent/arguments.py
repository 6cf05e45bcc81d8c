"""What a program, or a language model, asks of a Tritonreel server's video service."""

from typing import Any

from pydantic import Field

from frontend.providers.registry import OFFERS
from frontend.schemas.fields import Word
from frontend.schemas.video_fields import Duration
from frontend.schemas.video_service import VideoServiceRequest
from protocol.partial import partial
from protocol.sampling import MAX_SEED, PROMPT, NegativePrompt, Prompt

_HOSTED = dict.fromkeys(model.id for offer in OFFERS for model in offer.models if model.can("text-to-video"))
_TOP = ("prompt", "input_image_url")
"""fields that stand at the top of the body; the others are settings of the video"""


@partial(required=PROMPT)
class VideoArguments(NegativePrompt, Prompt):
    """What both tools take. What is None or absent is left to the server and the model."""

    model: Word | None = Field(
        None,
        description="Leave it out unless the user names one: the server chooses. `local` is the server's own model. "
        f"Hosted ones, which cost money: {', '.join(_HOSTED)}. A server may have more, and not all of these.",
        examples=["local"],
    )
    duration_seconds: Duration | None = Field(
        None, description="The nearest that the model offers is made.", examples=[5]
    )
    seed: int | None = Field(
        None, ge=0, le=MAX_SEED, description="The same seed and arguments give the same video, where a model takes one."
    )

    def body(self, customer_id: int) -> dict[str, Any]:
        """Of the HTTP request."""
        given = self.model_dump(exclude_none=True)
        top = {name: given.pop(name) for name in _TOP if name in given}
        return {**top, "customer_id": customer_id, "settings": {"video": given}}


class GenerateArguments(VideoArguments):
    """What `generate_video` takes."""

    aspect_ratio: Word | None = Field(
        None, description="WIDTH:HEIGHT; the nearest that the model offers is made.", examples=["16:9", "9:16"]
    )
    resolution: Word | None = Field(
        None, description="480p, 720p, 1080p, ...; the nearest that the model offers is made.", examples=["720p"]
    )
    input_image_url: str | None = Field(
        None, description=VideoServiceRequest.model_fields["input_image_url"].description
    )


class ExtendArguments(VideoArguments):
    """What `extend_video` takes."""

    video_id: Word = Field(min_length=1, description="The video that goes on: the `video_id` of an earlier result.")
