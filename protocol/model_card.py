"""A model card: everything about a served checkpoint that is not weights.

`export` writes one `card.json` a checkpoint from the checkpoint's own files; `generate` samples by it, and the
frontend validates requests and describes the model by it.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from protocol.sampling import SamplingDefaults, Solver

CARD_FILE = "card.json"

Precision = Literal["float32", "bfloat16", "float16"]
Task = Literal["text-to-video", "image-to-video", "text-to-image"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Extent = Literal["max_side", "max_frames", "max_pixel_frames"]


class Limits(_Frozen):
    """How far a request may go."""

    size_multiple: int
    """width and height are multiples of this many pixels (VAE stride times transformer patch)"""
    max_side: int
    """width and height at most, in pixels: the transformer's rotary tables end there"""
    max_frames: int = 1
    max_pixel_frames: int
    """width * height * num_frames at most"""
    of_engines: tuple[Extent, ...] = ()
    """those of the limits that the TensorRT engines of this server set: the model itself can do more"""


class LatentSpace(_Frozen):
    """Shape and scale of the VAE's latents, from diffusers' `AutoencoderKLWan` config."""

    channels: int
    temporal_stride: int
    spatial_stride: int
    mean: tuple[float, ...]
    """`latents_mean`, one per channel"""
    std: tuple[float, ...]
    """`latents_std`, one per channel"""


class RotaryEmbedding(_Frozen):
    """Of a transformer that takes its rotary tables as inputs, from diffusers' `QwenEmbedRope`."""

    theta: int
    axes_dims: tuple[int, int, int]
    """features of a head that turn with the frame, the row and the column"""


class Components(_Frozen):
    """The Triton models that this checkpoint runs on."""

    text_encoder: str
    transformer: str
    transformer_2: str | None = None
    vae: str
    """the decoder"""
    vae_encoder: str | None = None
    """for models that take an image"""

    def names(self) -> list[str]:
        """Those that there are."""
        return [name for name in self.model_dump().values() if name is not None]


class MemoryUse(_Frozen):
    """Bytes that models take while they compute, in float32 on a CPU, beside their weights.

    What a VAE takes is in the `runtime.bands.BandPlan` beside its graphs.
    """

    text: int
    """the text encoder, with the longest prompt"""
    step_per_token: int
    """a transformer, per row and token"""


class ModelCard(_Frozen):
    """One served checkpoint."""

    id: str
    """what a request's `model` field says"""
    family: str
    """the sampling code that runs it: `wan_t2v`, ..."""
    tasks: tuple[Task, ...]
    """what it makes, from what"""
    solvers: tuple[Solver, ...] = ("unipc", "euler")
    """how it can integrate the noise away"""
    defaults: SamplingDefaults
    limits: Limits
    latents: LatentSpace
    components: Components
    max_sequence_length: int
    """text tokens that the transformer sees at most"""
    num_train_timesteps: int
    precision: Precision = "float32"
    """what its models compute in; their inputs and outputs are float32"""
    vae_precision: Precision | None = None
    """what the VAE computes in; None where that is the same"""
    rope: RotaryEmbedding | None = None
    """for transformers that take rotary tables"""
    memory: MemoryUse | None = None
    """None where nothing is known of it"""

    @classmethod
    def read(cls, folder: Path) -> "ModelCard":
        """The card in `folder/card.json`."""
        return cls.model_validate_json((folder / CARD_FILE).read_text())

    @property
    def takes_image(self) -> bool:
        return "image-to-video" in self.tasks

    @property
    def needs_image(self) -> bool:
        return self.tasks == ("image-to-video",)

    def write(self, folder: Path) -> None:
        (folder / CARD_FILE).write_text(self.model_dump_json(indent=2) + "\n")
