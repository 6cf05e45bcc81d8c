"""What a checkpoint's models consist of and need, in numbers: all that a plan follows from, whatever the GPU."""

from collections.abc import Mapping
from dataclasses import dataclass

from export.options import Precision
from runtime.bands import BandPlan

_FLOAT, _HALF = 4, 2
_SCORES = 2
"""a VAE's attention has one head, too large for fused kernels: scores and their softmax are both in memory"""
_LATENT_COPIES = 12
"""noise, solver history, guidance branches; as `pipelines.ensemble.memory` counts"""


def bytes_per_value(precision: Precision) -> int:
    return _HALF if precision.is_half else _FLOAT


@dataclass(frozen=True)
class Weights:
    """Of a model. Numbers of parameters."""

    parameters: int
    islands: int = 0
    """those of them that stay float32 in half precision"""
    largest_layer: int = 0
    """of one of the layers that follow each other"""
    layers: int = 0

    def bytes(self, precision: Precision) -> int:
        return bytes_per_value(precision) * (self.parameters - self.islands) + _FLOAT * self.islands

    def streamed_bytes(self, precision: Precision) -> int:
        """Of all layers, which can come from host memory one after the other."""
        return self.layer_bytes(precision, self.layers)

    def layer_bytes(self, precision: Precision, layers: int) -> int:
        """Of that many layers."""
        return bytes_per_value(precision) * self.largest_layer * min(layers, self.layers)


@dataclass(frozen=True)
class Activations:
    """What a transformer takes per row of a batch, beside its weights: bytes."""

    per_row: int
    per_token: int
    """of the image or video"""

    def bytes(self, rows: int, tokens: int) -> int:
        return rows * (self.per_row + self.per_token * tokens)


@dataclass(frozen=True)
class TextEncoder:
    model: str
    """its name in the model repository"""
    class_name: str
    weights: Weights
    activations: Mapping[Precision, int]
    """bytes, for one prompt of greatest length"""


@dataclass(frozen=True)
class Transformer:
    model: str
    weights: Weights
    activations: Mapping[Precision, Activations]


@dataclass(frozen=True)
class Vae:
    """A decoder or encoder, whose plan is in float32."""

    model: str
    bands: BandPlan
    parameters: int
    one_frame: bool
    """an encoder of images that videos begin with, or the VAE of an image model"""

    def weight_bytes(self, precision: Precision) -> int:
        """Of the graphs for the first chunk and for the others, each of which has its own."""
        return self._scaled(self._graph_bytes(), precision)

    def cache_bytes(self, height: int, width: int, frames: int, precision: Precision) -> int:
        """What a video keeps from chunk to chunk; sizes in latents."""
        return self._scaled(self._held(height, width, frames), precision)

    def whole_bytes(self, height: int, width: int, frames: int, precision: Precision) -> int:
        """The largest call on frames that are not cut, with the caches."""
        call = self.bands.peak_bytes(height, width, self._frames(frames), budget=None)
        return self._with_attention(call, height, width, frames, precision, besides=0)

    def band_bytes(self, height: int, width: int, frames: int, precision: Precision) -> int:
        """The same, with frames in the lowest possible bands, and with the weights of the graphs for bands."""
        call = self.bands.peak_bytes(height, width, self._frames(frames), budget=0)
        besides = self._graph_bytes() + self.bands.feature_bytes * height * width
        return self._with_attention(call, height, width, frames, precision, besides)

    def _with_attention(
        self, call: int, height: int, width: int, frames: int, precision: Precision, besides: int
    ) -> int:
        pixels = height * width
        middle = max(chunk.middle_bytes for chunk in self.bands.chunks(self._frames(frames))) * pixels
        scores = _SCORES * bytes_per_value(precision) * pixels**2
        attention = self._scaled(self._held(height, width, frames) + besides + middle, precision) + scores
        stride = self.bands.spatial_stride
        # frames are float32 whatever the graph computes in, and the plan's bytes are halved with the rest
        border = 3 * _FLOAT * self.bands.temporal_stride * stride**2 * pixels if precision.is_half else 0
        return max(self._scaled(call, precision), attention) + border

    def _graph_bytes(self) -> int:
        chunks = (self.bands.first, self.bands.next) if self.bands.next else (self.bands.first,)
        return sum(chunk.weight_bytes for chunk in chunks)

    def _held(self, height: int, width: int, frames: int) -> int:
        return self.bands.held_bytes(height, width) if len(self.bands.chunks(self._frames(frames))) > 1 else 0

    def _frames(self, frames: int) -> int:
        return 1 if self.one_frame else frames

    def _scaled(self, size: int, precision: Precision) -> int:
        return size * bytes_per_value(precision) // _FLOAT


@dataclass(frozen=True, order=True)
class Size:
    """Of a video or image, in pixels."""

    width: int
    height: int
    frames: int = 1

    def __str__(self) -> str:
        frames = f" with {self.frames} frames" if self.frames > 1 else ""
        return f"{self.width}x{self.height}{frames}"


@dataclass(frozen=True)
class Geometry:
    """How sizes become latents and tokens, and which there may be."""

    channels: int
    """of the latents"""
    spatial_stride: int
    temporal_stride: int
    patch: int
    makes_images: bool
    max_pixel_frames: int
    default: Size
    largest: Size
    """that the published model was made for"""

    @property
    def size_multiple(self) -> int:
        return self.spatial_stride * self.patch

    def latents(self, size: Size) -> tuple[int, int, int]:
        """Frames, height and width."""
        frames = (size.frames - 1) // self.temporal_stride + 1
        return frames, size.height // self.spatial_stride, size.width // self.spatial_stride

    def tokens(self, size: Size) -> int:
        """That the transformer sees of the video or image."""
        frames, height, width = self.latents(size)
        return frames * (height // self.patch) * (width // self.patch)

    def latent_bytes(self, size: Size) -> int:
        """What a job holds of its latents, in float32."""
        frames, height, width = self.latents(size)
        return _LATENT_COPIES * _FLOAT * self.channels * frames * height * width


@dataclass(frozen=True)
class Shapes:
    """A checkpoint."""

    id: str
    family: str
    text_encoder: TextEncoder
    transformers: tuple[Transformer, ...]
    """in the order in which they run"""
    decoder: Vae
    encoder: Vae | None
    """for models that take an image"""
    geometry: Geometry
