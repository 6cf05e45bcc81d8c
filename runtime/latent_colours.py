"""What colour a VAE's latents are, about: `colours.json`, which an export writes beside the decoder's graphs."""

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from runtime.version_file import VersionFile

_Rgb = tuple[float, float, float]


class LatentColours(VersionFile):
    """A linear map from the channels of a latent cell to the mean colour of the pixels that it stands for."""

    file_name = "colours.json"
    describes = "colours of latents"

    weights: tuple[_Rgb, ...]
    """per channel, of latents that are normalised as the transformer sees them"""
    bias: _Rgb
    """the colour of zeros, 0..1"""

    @model_validator(mode="after")
    def _is_finite(self) -> "LatentColours":
        if not np.isfinite([self.bias, *self.weights]).all():
            raise ValueError("must be numbers")
        return self

    def of(self, latents: NDArray[np.float32]) -> NDArray[np.float32]:
        """The colours of latents [channels, height, width]: float32 [height, width, RGB], 0..1 and some beyond."""
        weights = np.asarray(self.weights, np.float32)
        rgb: NDArray[np.float32] = np.moveaxis(latents, 0, -1) @ weights + np.asarray(self.bias, np.float32)
        return rgb
