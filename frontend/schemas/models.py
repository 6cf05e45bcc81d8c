"""`GET /v1/models`."""

from typing import Literal

from pydantic import BaseModel, Field

from frontend.launcher_status import Coming
from frontend.providers.hosted_model import HostedModel, Operation, Option
from protocol.model_card import Extent, Limits, ModelCard, Task
from protocol.sampling import SamplingDefaults, Solver


class ModelLimits(Limits):
    """How far a request may go."""

    of_engines: tuple[Extent, ...] = Field(
        default=(),
        description="Those of the limits that the TensorRT engines of this server set, and not the model: built for "
        "other sizes they would be others.",
        examples=[["max_side", "max_frames"]],
    )
    max_sequence_length: int = Field(
        description="Tokens of a prompt that the model reads, as its own tokenizer counts them; for Wan the one that "
        "ends the text is one of them. What is longer is cut off there, and a warning says so.",
        examples=[512],
    )


class Model(BaseModel):
    """OpenAI's model object, and what this model takes."""

    id: str = Field(examples=["wan2.2-t2v-a14b"])
    object: Literal["model"] = "model"
    created: int = Field(description="Unix time at which this server started.")
    owned_by: Literal["tritonreel"] = "tritonreel"
    family: str = Field(description="The sampling code that runs it.", examples=["wan_t2v"])
    tasks: tuple[Task, ...] = Field(description="What it makes, from what.", examples=[["text-to-video"]])
    solvers: tuple[Solver, ...] = Field(description="What `solver` may be.", examples=[["unipc", "euler"]])
    defaults: SamplingDefaults = Field(description="What a request gets for the fields that it leaves out.")
    limits: ModelLimits = Field(description="How far a request may go.")

    @classmethod
    def of(cls, card: ModelCard, created: int) -> "Model":
        return cls(
            id=card.id,
            created=created,
            family=card.family,
            tasks=card.tasks,
            solvers=card.solvers,
            defaults=card.defaults,
            limits=ModelLimits(**card.limits.model_dump(), max_sequence_length=card.max_sequence_length),
        )


class HostedModelInfo(BaseModel):
    """OpenAI's model object of a hosted provider's model, and what it takes."""

    id: str = Field(examples=["veo-3.1-fast"])
    object: Literal["model"] = "model"
    created: int = Field(description="Unix time at which this server started.")
    owned_by: str = Field(description="The provider.", examples=["gemini"])
    aliases: tuple[str, ...] = Field(description="Other names of it.")
    tasks: tuple[Operation, ...] = Field(description="What it makes, from what.", examples=[["text-to-video"]])
    durations: tuple[int, ...] = Field(description="Seconds of a video from a text.", examples=[[4, 6, 8]])
    resolutions: tuple[str, ...] = Field(examples=[["720p", "1080p"]])
    aspect_ratios: tuple[str, ...] = Field(examples=[["16:9", "9:16"]])
    options: tuple[Option, ...] = Field(description="What else of a request it heeds.", examples=[["seed"]])
    dollars_per_second: dict[str, float] = Field(
        description="By the provider's price list, by resolution; empty for all of them.", examples=[{"720p": 0.1}]
    )

    @classmethod
    def of(cls, model: HostedModel, created: int) -> "HostedModelInfo":
        offer = model.offer("text-to-video")
        return cls(
            id=model.id,
            created=created,
            owned_by=model.provider,
            aliases=model.aliases,
            tasks=tuple(model.paths),
            durations=offer.durations,
            resolutions=offer.resolutions,
            aspect_ratios=offer.aspect_ratios,
            options=tuple(sorted(offer.options)),
            dollars_per_second={name: float(rate) for name, rate in offer.price.per_second.items()},
        )


class ComingModel(BaseModel):
    """A model that is being exported or loaded, or for which that failed."""

    id: str = Field(examples=["wan2.2-i2v-a14b"])
    status: Literal["exporting", "loading", "failed"]
    stage: str = Field(description="What is being done, or why it failed.", examples=["transformer: tracing"])

    @classmethod
    def of(cls, coming: Coming) -> "ComingModel":
        return cls(id=coming.model, status=coming.state, stage=coming.stage)


class ModelList(BaseModel):
    """OpenAI's list of models."""

    object: Literal["list"] = "list"
    data: list[Model | HostedModelInfo]
    coming: list[ComingModel] = Field([], description="Models that are not served yet, or cannot be.")
