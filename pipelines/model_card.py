"""A model card: everything about a served checkpoint that is not weights.

`export` writes one `card.json` a checkpoint from the checkpoint's own files; `generate` samples by it, and the
frontend validates requests and describes the model by it.
"""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

CARD_FILE = "card.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SamplingDefaults(_Frozen):
    """What a request gets for each field that it leaves out."""

    width: int
    """pixels"""
    height: int
    """pixels"""
    num_frames: int
    """4k+1 pixel frames"""
    fps: float
    num_inference_steps: int
    guidance_scale: float
    """classifier-free guidance of `transformer`, the high-noise expert where there are two"""
    guidance_scale_2: float | None = None
    """guidance of `transformer_2`, the low-noise expert; None when there is one transformer"""
    negative_prompt: str = ""
    solver: Literal["unipc", "euler"] = "unipc"
    flow_shift: float
    boundary_ratio: float | None = None
    """`transformer_2` takes over below this fraction of the training timesteps; None when there is one"""


class Limits(_Frozen):
    """How far a request may go."""

    size_multiple: int
    """width and height are multiples of this many pixels (VAE stride times transformer patch)"""
    max_side: int
    """width and height at most, in pixels: the transformer's rotary tables end there"""
    max_frames: int
    max_pixel_frames: int
    """width * height * num_frames at most"""


class LatentSpace(_Frozen):
    """Shape and scale of the VAE's latents, from diffusers' `AutoencoderKLWan` config."""

    channels: int
    temporal_stride: int
    spatial_stride: int
    mean: tuple[float, ...]
    """`latents_mean`, one a channel"""
    std: tuple[float, ...]
    """`latents_std`, one a channel"""


class Components(_Frozen):
    """The Triton models that this checkpoint runs on."""

    text_encoder: str
    transformer: str
    transformer_2: str | None = None
    vae: str


class ModelCard(_Frozen):
    """One served checkpoint."""

    id: str
    """what a request's `model` field says"""
    family: str
    """the sampling code that runs it: `wan_t2v`, ..."""
    defaults: SamplingDefaults
    limits: Limits
    latents: LatentSpace
    components: Components
    max_sequence_length: int
    """text tokens that the transformer sees; shorter prompts are zero-filled to it"""
    num_train_timesteps: int

    @classmethod
    def read(cls, folder: Path) -> "ModelCard":
        """The card in `folder/card.json`."""
        return cls.model_validate_json((folder / CARD_FILE).read_text())

    def write(self, folder: Path) -> None:
        (folder / CARD_FILE).write_text(self.model_dump_json(indent=2) + "\n")
