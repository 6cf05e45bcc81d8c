"""defaults.json: what a checkpoint folder says about its own use, beyond what diffusers' files say."""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from export.checkpoint import read_json
from export.errors import CheckpointError

DEFAULTS_FILE = "defaults.json"


class OwnDefaults(BaseModel):
    """Each field replaces the family's; see `protocol.model_card` for their meaning."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str | None = None
    max_frames: int | None = None
    max_pixel_frames: int | None = None
    max_sequence_length: int | None = None

    width: int | None = None
    height: int | None = None
    num_frames: int | None = None
    fps: float | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    guidance_scale_2: float | None = None
    true_cfg_scale: float | None = None
    negative_prompt: str | None = None
    flow_shift: float | None = None
    boundary_ratio: float | None = None

    def sampling(self) -> dict[str, Any]:
        """Those that are given and are fields of `SamplingDefaults`."""
        limits = {"id", "max_frames", "max_pixel_frames", "max_sequence_length"}
        return self.model_dump(exclude=limits, exclude_none=True)


def read_defaults(folder: Path) -> OwnDefaults:
    """The folder's defaults.json; nothing is set when it has none.

    Raises:
        CheckpointError: naming the first key that is unknown or of the wrong type.
    """
    path = folder / DEFAULTS_FILE
    if not path.exists():
        return OwnDefaults()
    try:
        return OwnDefaults.model_validate(read_json(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise CheckpointError(f"{path}: {first['loc'][0]}: {first['msg']}") from None
