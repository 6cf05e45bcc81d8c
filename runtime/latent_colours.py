"""What colour a VAE's latents are, about: `colours.json`, which an export writes beside the decoder's graphs."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

COLOURS_FILE = "colours.json"

_Rgb = tuple[float, float, float]


class LatentColours(BaseModel):
    """A linear map from the channels of a latent cell to the mean colour of the pixels that it stands for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weights: tuple[_Rgb, ...]
    """per channel, of latents that are normalised as the transformer sees them"""
    bias: _Rgb
    """the colour of zeros, 0..1"""

    @model_validator(mode="after")
    def _is_finite(self) -> "LatentColours":
        if not np.isfinite([self.bias, *self.weights]).all():
            raise ValueError("must be numbers")
        return self

    @classmethod
    def read(cls, folder: Path) -> "LatentColours":
        """Those of a version folder.

        Raises:
            FileNotFoundError: it holds none, or those of another release.
        """
        try:
            return cls.model_validate_json((folder / COLOURS_FILE).read_text())
        except (OSError, ValidationError):
            raise FileNotFoundError(
                f"{folder} holds no colours of latents of this release: export the checkpoint again"
            ) from None

    def write(self, folder: Path) -> None:
        (folder / COLOURS_FILE).write_text(self.model_dump_json(indent=1) + "\n")

    def of(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """The colours of latents [channels, height, width]: float32 [height, width, RGB], 0..1 and some beyond."""
        weights = np.asarray(self.weights, np.float32)
        rgb: NDArray[np.float32] = np.moveaxis(latents, 0, -1) @ weights + np.asarray(self.bias, np.float32)
        return rgb
