"""What the engine has to know of a VAE to cut frames into bands, from its graphs; all sizes are linear in a frame's."""

import math
from collections.abc import Sequence
from fractions import Fraction

import onnx_ir as ir

from export.graph_memory import GraphMemory, Shape
from export.vae_graphs import Half, build_part
from export.vae_layers import CACHE, ROWS, Carried
from runtime.banded_vae import BANDS, FIRST, MIDDLE, NEXT, WHOLE
from runtime.bands import BandPlan, CarriedShape, ChunkPlan

_ROWS = 64
"""of latents: more than any VAE's lead"""
_WIDTH = 8
"""of latents"""
_HEIGHTS = (8, 24)
"""of bands, in latents"""
_BYTES = 4
"""of a float32"""


def band_plan(half: Half) -> BandPlan:
    """The plan of a decoder or encoder."""
    return _Planner(half).plan()


class _Planner:
    def __init__(self, half: Half) -> None:
        self._half = half
        chunks = (FIRST, NEXT) if half.streams else (FIRST,)
        built = {(part, chunk): build_part(half, part, chunk) for part in (WHOLE, MIDDLE, BANDS) for chunk in chunks}
        self._graphs: dict[tuple[str, str], ir.Model] = {key: model for key, (model, _) in built.items()}
        self._carried = {
            chunk: tuple(self._shape(chunk, carried) for carried in built[BANDS, chunk][1].carried) for chunk in chunks
        }

    def plan(self) -> BandPlan:
        half = self._half
        top, _ = self._frame([_ROWS, _ROWS], FIRST)
        given = top.outputs()[0][3]
        lead = _ROWS - (given if half.encodes else given // half.spatial_stride)
        return BandPlan(
            encodes=half.encodes,
            spatial_stride=half.spatial_stride,
            temporal_stride=half.temporal_stride,
            feature_bytes=_BYTES * half.feature_channels,
            cache_bytes=_divide(_bytes(self._whole(WHOLE, FIRST).outputs(CACHE)), _ROWS * _WIDTH),
            lead=lead,
            first=self._chunk(lead, FIRST),
            next=self._chunk(lead, NEXT) if half.streams else None,
        )

    def _chunk(self, lead: int, chunk: str) -> ChunkPlan:
        low, high = (self._frame([height + lead, height, lead], chunk) for height in _HEIGHTS)
        peaks = [[band.peak_bytes() for band in bands] for bands in (low, high)]
        per_row = _divide(max(b - a for a, b in zip(*peaks, strict=True)), _HEIGHTS[1] - _HEIGHTS[0])
        besides = max(
            peak - per_row * height for height, bands in zip(_HEIGHTS, peaks, strict=True) for peak in bands[:2]
        )
        carried = max(_bytes(band.outputs(ROWS)) for band in low[:2])
        whole, middle = self._whole(WHOLE, chunk), self._whole(MIDDLE, chunk)
        return ChunkPlan(
            carried=self._carried[chunk],
            whole_bytes=_divide(whole.peak_bytes(), _ROWS * _WIDTH),
            middle_bytes=_divide(middle.peak_bytes(), _ROWS * _WIDTH),
            band_bytes=_divide(per_row, _WIDTH),
            column_bytes=_divide(besides + carried, _WIDTH),
            weight_bytes=sum(_weight_bytes(self._graphs[part, chunk]) for part in (MIDDLE, BANDS)),
        )

    def _frame(self, heights: Sequence[int], chunk: str) -> list[GraphMemory]:
        """The bands of a frame, from the top."""
        former = self._frame(heights, FIRST) if chunk == NEXT else None
        bands: list[GraphMemory] = []
        for number, height in enumerate(heights):
            above = (
                bands[-1].outputs(ROWS) if bands else [carried.shape(1, 1, _WIDTH) for carried in self._carried[chunk]]
            )
            bottom = (int(number == len(heights) - 1),)
            caches = former[number].outputs(CACHE) if former else []
            sizes = [self._source(BANDS, chunk, height), bottom, *above, *caches]
            bands.append(GraphMemory(self._graphs[BANDS, chunk], sizes))
        return bands

    def _whole(self, part: str, chunk: str) -> GraphMemory:
        """A graph of whole frames."""
        caches = self._whole(part, FIRST).outputs(CACHE) if chunk == NEXT else []
        return GraphMemory(self._graphs[part, chunk], [self._source(part, chunk, _ROWS), *caches])

    def _source(self, part: str, chunk: str, rows: int) -> Shape:
        """The input of a graph, of one latent frame."""
        half = self._half
        if part == (MIDDLE if half.encodes else BANDS):
            return 1, half.feature_channels, 1, rows, _WIDTH
        if not half.encodes:
            return 1, half.channels, 1, rows, _WIDTH
        frames = half.temporal_stride if chunk == NEXT else 1
        return 1, half.channels, frames, rows * half.spatial_stride, _WIDTH * half.spatial_stride

    def _shape(self, chunk: str, carried: Carried) -> CarriedShape:
        half, x = self._half, carried.like
        is_first = chunk == FIRST
        frames = x.frames * (half.temporal_stride if half.encodes else 1)
        return CarriedShape(
            channels=x.channels,
            frames_per_latent=0 if is_first else _integer(frames),
            more_frames=1 if is_first else carried.more_frames,
            are_images=x.is_image,
            rows=carried.first_rows,
            width_per_latent=_integer(x.width * (half.spatial_stride if half.encodes else 1)),
        )


def _weight_bytes(model: ir.Model) -> int:
    return sum(value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)


def _integer(number: Fraction) -> int:
    assert number.denominator == 1
    return number.numerator


def _bytes(shapes: Sequence[Shape]) -> int:
    return _BYTES * sum(math.prod(shape) for shape in shapes)


def _divide(size: int, by: int) -> int:
    """Rounded up."""
    return -(-size // by)
