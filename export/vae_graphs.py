"""The graphs of a VAE's decoder or encoder.

One computes whole frames. For large frames there are two more: what sees the whole frame, and what computes it in
bands. All exist for the first chunk of a video, and for every later one; a VAE of images has no later ones.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import onnx_ir as ir

from export.graph import BuiltGraph
from export.options import Form
from export.precision import ONNX_DTYPES
from export.vae_layers import Features, VaeLayers
from runtime.banded_vae import BANDS, FEATURES, FIRST, MIDDLE, NEXT, WHOLE, file_name

_FRAMES, _LATENTS = "frames", "latents"
"""what a VAE turns into each other"""

Compute = Callable[[VaeLayers, Features], Features]


@dataclass(frozen=True, kw_only=True)
class Half:
    """A decoder or an encoder, cut where its features have the size of the latents."""

    encodes: bool
    """frames -> features in bands, and features -> latents; a decoder: latents -> features, features -> frames"""
    middle: Compute
    """what sees the whole frame"""
    bands: Compute
    """what needs the neighbourhood of each pixel only"""
    channels: int
    """of the source: 3, or the latents'"""
    feature_channels: int
    spatial_stride: int
    temporal_stride: int
    streams: bool = True
    """takes videos chunk by chunk, and not images only"""


def half_graphs(half: Half, form: Form) -> list[BuiltGraph]:
    """All its graphs."""
    dtype = ONNX_DTYPES[form.precision]
    chunks = (FIRST, NEXT) if half.streams else (FIRST,)
    return [
        BuiltGraph(file_name(part, chunk), partial(_build, half, part, chunk, dtype))
        for part in (WHOLE, MIDDLE, BANDS)
        for chunk in chunks
    ]


def _build(half: Half, part: str, chunk: str, dtype: ir.DataType) -> ir.Model:
    model, _ = build_part(half, part, chunk, dtype)
    return model


def build_part(half: Half, part: str, chunk: str, dtype: ir.DataType = ir.DataType.FLOAT) -> tuple[ir.Model, VaeLayers]:
    """A graph, and the layers that it was made of."""
    source, result = (_FRAMES, _LATENTS) if half.encodes else (_LATENTS, _FRAMES)
    channels = half.channels
    steps = {MIDDLE: half.middle, BANDS: half.bands}
    order = (BANDS, MIDDLE) if half.encodes else (MIDDLE, BANDS)
    if part == order[0]:
        result = FEATURES
    elif part == order[1]:
        source, channels = FEATURES, half.feature_channels
    takes_pixels = half.encodes and source != FEATURES
    layers = VaeLayers(
        source,
        channels,
        is_first=chunk == FIRST,
        in_bands=part == BANDS,
        keeps_caches=half.streams,
        strides=(half.temporal_stride, half.spatial_stride) if takes_pixels else (1, 1),
        dtype=dtype,
    )
    x = layers.source()
    for step in order if part == WHOLE else (part,):
        x = steps[step](layers, x)
    return layers.build(result, x, limit=1 if result == _FRAMES else None), layers
