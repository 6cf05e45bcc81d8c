"""The layers of diffusers' Wan and Qwen-Image VAEs as ONNX operators, for one chunk of a video.

**Chunks.** A causal convolution over three frames looks back on two. They are kept from chunk to chunk as caches of
full length; frames that do not exist are zeros, which is what diffusers pads with. So one graph serves every chunk
after the first. The first has one frame, of which a convolution over three frames sees nothing but its last third:
there everything is two-dimensional.

**Bands.** A frame may be computed in bands of rows, from the top down. A band ends where the rows below it are not
known yet, so the result of a convolution ends a row above its input, and the next band begins with the last rows of
this one: each layer carries them over, and nothing is computed twice. The first band begins with the row of zeros
that diffusers pads with and the last band ends with one; a frame that is not cut is both.

**Half precision.** Source, result and carried rows are float32 whatever the layers compute in; caches stay as they are.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from export.graph_builder import GraphBuilder, Output

CACHE, ROWS = "cache", "rows"
"""what the names of inputs and outputs begin with that are state"""

_KERNEL = 3
_CACHED_FRAMES = 2
"""what a convolution over three frames looks back on"""
_CARRIED_ROWS = 2
"""what a convolution over three rows looks back on"""
_FRAMES = 2
"""the axis"""
_EPSILON = 1e-12
"""of torch's `normalize`"""


@dataclass(frozen=True)
class Features:
    """A tensor between two layers: [batch, channels, frames, rows, width], or images without the axis of frames."""

    value: ir.Value
    channels: int
    frames: Fraction
    """per frame of the source"""
    width: Fraction
    """per column of the source"""
    is_image: bool
    """[batch * frames, channels, rows, width]"""

    @property
    def row_axis(self) -> int:
        return 2 if self.is_image else 3


@dataclass(frozen=True)
class Carried:
    """Rows that a layer hands from each band to the one below."""

    like: Features
    more_frames: int
    """than that has: cached ones"""
    first_rows: int
    """of zeros, with which the first band begins"""


class VaeLayers:
    """Adds layers to a graph, with the state that each of them needs as further inputs and outputs.

    Args:
        source: name of the input.
        channels: of it.
        is_first: the chunk is the first of a video, one frame.
        in_bands: the rows of a frame come in several calls.
        keeps_caches: there may be other chunks.
        strides: frames, and rows and columns, of the source per latent.
        dtype: that the layers compute in.
    """

    def __init__(
        self,
        source: str,
        channels: int,
        is_first: bool,
        in_bands: bool,
        keeps_caches: bool,
        strides: tuple[int, int] = (1, 1),
        dtype: ir.DataType = ir.DataType.FLOAT,
    ) -> None:
        self._builder = GraphBuilder(dtype)
        self._is_first = is_first
        self._keeps_caches = keeps_caches
        frames, self._side = strides
        self._source = ir.val(
            source,
            ir.DataType.FLOAT,
            ir.Shape(["batch", channels, 1 if is_first else _times(frames, "latent_frames"), *self._sides(1)]),
        )
        self._bottom = ir.val("bottom", ir.DataType.FLOAT, ir.Shape(["bottom"])) if in_bands else None
        self.carried: list[Carried] = []
        """in the order of the inputs"""
        self._rows_in: list[ir.Value] = []
        self._rows_out: list[ir.Value] = []
        self._caches_in: list[ir.Value] = []
        self._caches_out: list[ir.Value] = []
        self._zeros: dict[tuple[int, Fraction, Fraction, bool, bool], ir.Value] = {}
        self._sizes: dict[tuple[int, Fraction], ir.Value] = {}

    def source(self) -> Features:
        value = self._builder.to_own(self._source)
        if self._is_first:
            value = self._builder.op("Squeeze", value, self._builder.integers(_FRAMES))
        channels = self._source.shape[1]  # type: ignore[index]
        assert isinstance(channels, int)
        return Features(value, channels, Fraction(1), Fraction(1), is_image=self._is_first)

    def build(self, name: str, result: Features, limit: float | None = None) -> ir.Model:
        """The graph with this result, clamped to -limit..limit where there is one.

        Its inputs are the source, `bottom`, the rows from the band above, and the caches from the chunk before, and its
        outputs the result, the rows for the band below, and the caches.
        """
        value = result.value
        if self._is_first:
            value = self._builder.op("Unsqueeze", value, self._builder.integers(_FRAMES))
        value = self._builder.to_float32(value)
        if limit is not None:
            value = self._builder.op("Clip", value, *map(self._builder.scalar, (-limit, limit)))
        bottom = [] if self._bottom is None else [self._bottom]
        float32, own = ir.DataType.FLOAT, self._builder.dtype
        outputs: dict[str, Output] = {name: (value, float32, ("batch", result.channels, None, None, None))}
        for number, (rows, carried) in enumerate(zip(self._rows_out, self.carried, strict=True)):
            outputs[f"{ROWS}_out_{number}"] = rows, float32, (None,) * (carried.like.row_axis + 2)
        for number, cache in enumerate(self._caches_out):
            outputs[f"{CACHE}_out_{number}"] = cache, own, (None,) * 5
        return self._builder.build([self._source, *bottom, *self._rows_in, *self._caches_in], outputs)

    # Layers

    def convolve(self, layer: Any, x: Features) -> Features:
        """A causal convolution: over pixels, over frames, over both, or over neither."""
        out_channels, _, _, rows, _ = layer.weight.shape
        weight = _values(layer.weight)
        looks_back = layer._padding[4] == _CACHED_FRAMES
        value, has_past = x.value, False
        if looks_back and not self._is_first:
            value, has_past = self._extend_frames(x, _CACHED_FRAMES), True
        elif looks_back:
            self._cache_first(x)
            weight = weight[:, :, -1:]
        if rows == _KERNEL:
            value = self._extend_rows(x, value, has_past)
        padding = [0, 0 if self._bottom or rows == 1 else 1, rows // 2]
        if x.is_image:
            weight, padding = weight[:, :, 0], padding[1:]
        value = self._convolution(value, weight, layer.bias, padding, padding, [1] * len(padding))
        return replace(x, value=value, channels=out_channels)

    def normalise(self, layer: Any, x: Features) -> Features:
        """To unit length over the channels, times a scale."""
        builder, op = self._builder, self._builder.op
        gain = _values(layer.gamma).float().reshape(-1, 1, 1, *([] if x.is_image else [1])) * layer.scale
        value = builder.to_float32(x.value)  # the squares of half precision's numbers would not fit it
        length = op("ReduceL2", value, builder.integers(1), keepdims=1)
        unit = builder.to_own(op("Div", value, op("Max", length, builder.floats(_EPSILON))))
        return replace(x, value=op("Mul", unit, builder.weights(gain)))

    def activate(self, x: Features) -> Features:
        """x * sigmoid(x)"""
        return replace(x, value=self._builder.op("Mul", x.value, self._builder.op("Sigmoid", x.value)))

    def add(self, x: Features, y: Features) -> Features:
        return replace(x, value=self._builder.op("Add", x.value, y.value))

    def first_channels(self, x: Features, count: int) -> Features:
        return replace(x, value=self._builder.slice(x.value, 1, 0, count), channels=count)

    def residual_block(self, block: Any, x: Features) -> Features:
        """Two convolutions beside a shortcut."""
        shortcut = self.convolve(block.conv_shortcut, x) if hasattr(block.conv_shortcut, "weight") else x
        y = self.convolve(block.conv1, self.activate(self.normalise(block.norm1, x)))
        y = self.convolve(block.conv2, self.activate(self.normalise(block.norm2, y)))
        return self.add(y, self._delayed(shortcut, y))

    def attention(self, block: Any, x: Features) -> Features:
        """Every pixel of a frame attends to every other; needs the whole frame."""
        op, transpose = self._builder.op, self._builder.transpose
        images = self._images(x)
        qkv = self._image_convolution(block.to_qkv, self.normalise(_ImageNorm(block.norm), images)).value
        tokens = op("Reshape", qkv, self._builder.integers(0, 1, 3 * x.channels, -1), allowzero=0)
        operands = self._builder.split(transpose(tokens, 0, 1, 3, 2), axis=3, parts=3)
        for operand in operands:
            operand.dtype, operand.shape = self._builder.dtype, ir.Shape([None, 1, None, x.channels])
        attended = op("Attention", *operands)
        channels_first = op("Squeeze", transpose(attended, 0, 1, 3, 2), self._builder.integers(1))
        size = (self._builder.size(images.value, axis) for axis in (0, 1, 2, 3))
        image = op("Reshape", channels_first, self._builder.shape(*size))
        y = self._image_convolution(block.proj, replace(images, value=image))
        return self.add(self._videos(y) if not x.is_image else y, x)

    def upsample(self, layer: Any, x: Features) -> Features:
        """Double the frames, where the layer does and except the first of a video, and then height and width."""
        builder = self._builder
        images = x if x.is_image else None
        if layer.mode == "upsample3d" and self._is_first:
            self._cache_zeros(x)
        elif layer.mode == "upsample3d":
            pairs = self.convolve(layer.time_conv, x)
            batch, frames, width = self._batch(), self._frames(x), self._width(x)
            apart = builder.op("Reshape", pairs.value, builder.shape(batch, 2, x.channels, frames, -1, width))
            apart = builder.transpose(apart, 0, 3, 1, 2, 4, 5)
            doubled = replace(x, frames=2 * x.frames, is_image=True)
            value = builder.op("Reshape", apart, builder.shape(self._images_of(doubled), x.channels, -1, width))
            images = replace(doubled, value=value)
        images = images or self._images(x)
        scales = builder.floats(1, 1, 2, 2)
        enlarged = builder.op(
            "Resize",
            images.value,
            None,
            scales,
            mode="nearest",
            nearest_mode="floor",
            coordinate_transformation_mode="asymmetric",
        )
        y = replace(images, value=enlarged, width=2 * images.width)
        y = self._image_convolution(layer.resample[1], replace(y, value=self._extend_rows(y, y.value, False)), 1)
        return y if x.is_image else self._videos(y)

    def downsample(self, layer: Any, x: Features) -> Features:
        """Halve height and width, and then the frames, where the layer does and except the first of a video."""
        images = self._images(x)
        y = self._halved(layer.resample[1], images)
        if not x.is_image:
            y = self._videos(y)
        if layer.mode == "downsample2d":
            return y
        if self._is_first:
            self._keep_cache(self._builder.op("Unsqueeze", y.value, self._builder.integers(_FRAMES)))
            return y
        extended = self._extend_frames(y, frames=1)
        weight = _values(layer.time_conv.weight)
        value = self._convolution(extended, weight, layer.time_conv.bias, [0, 0, 0], [0, 0, 0], [2, 1, 1])
        return replace(y, value=value, frames=y.frames / 2)

    def repeat(self, shortcut: Any, x: Features, beside: Features) -> Features:
        """diffusers' `DupUp3D`: channels become pixels and frames, some of them several times."""
        builder, space = self._builder, shortcut.factor_s
        time, channels = shortcut.factor_t, shortcut.out_channels
        given = np.arange(channels * time * space**2) // shortcut.repeats
        if self._is_first:
            last_frame = given.reshape(channels, time, -1)[:, -1].reshape(-1)
            value = builder.op("Gather", x.value, builder.integers(*last_frame.tolist()), axis=1)
            images = replace(x, value=value)
        else:
            batch, frames, width = self._batch(), self._frames(x), self._width(x)
            value = builder.op("Gather", x.value, builder.integers(*given.tolist()), axis=1)
            apart = builder.shape(batch, channels, time, space**2, frames, -1, width)
            value = builder.transpose(builder.op("Reshape", value, apart), 0, 4, 2, 1, 3, 5, 6)
            images = replace(x, frames=x.frames * time, is_image=True)
            size = builder.shape(self._images_of(images), channels * space**2, -1, width)
            images = replace(images, value=builder.op("Reshape", value, size))
        y = self._to_pixels(images, channels, space)
        return self._delayed(y if x.is_image else self._videos(y), beside)

    def average(self, shortcut: Any, x: Features, beside: Features) -> Features:
        """diffusers' `AvgDown3D`, pixels and frames become channels, and those of a group their mean: a convolution."""
        space, time, group = shortcut.factor_s, shortcut.factor_t, shortcut.group_size
        x = self._delayed(x, beside, scale=space)
        if shortcut.factor == 1 and group == 1:
            return x
        channels = shortcut.out_channels
        parts = np.arange(x.channels * shortcut.factor).reshape(x.channels, time, space, space) // group
        means = (parts == np.arange(channels).reshape(-1, 1, 1, 1, 1)).astype(np.float32) / np.float32(group)
        groups = np.gcd(x.channels, channels)
        means = np.stack(
            [
                means[number, first : first + x.channels // groups]
                for number in range(channels)
                for first in [number * groups // channels * (x.channels // groups)]
            ]
        )
        stride = [time, space, space]
        if x.is_image:
            means, stride = means[:, :, -1], stride[1:]
        none = [0] * len(stride)
        value = self._convolution(x.value, torch.from_numpy(means), None, none, none, stride, int(groups))
        frames = x.frames if self._is_first else x.frames / time
        return replace(x, value=value, channels=channels, frames=frames, width=x.width / space)

    def patches_to_pixels(self, x: Features, patch: int) -> Features:
        """diffusers' `unpatchify`: channels are colour, column and row of a pixel in its patch."""
        channels = x.channels // patch**2
        rows_first = np.arange(x.channels).reshape(channels, patch, patch).transpose(0, 2, 1).reshape(-1)
        images = self._images(x)
        value = self._builder.op("Gather", images.value, self._builder.integers(*rows_first.tolist()), axis=1)
        y = self._to_pixels(replace(images, value=value), channels, patch)
        return y if x.is_image else self._videos(y)

    def pixels_to_patches(self, x: Features, patch: int) -> Features:
        """diffusers' `patchify`, the reverse."""
        images = self._images(x)
        value = self._builder.op("SpaceToDepth", images.value, blocksize=patch)
        channels = x.channels * patch**2
        colours_last = np.arange(channels).reshape(patch, patch, x.channels).transpose(2, 1, 0).reshape(-1)
        value = self._builder.op("Gather", value, self._builder.integers(*colours_last.tolist()), axis=1)
        y = replace(images, value=value, channels=channels, width=x.width / patch)
        return y if x.is_image else self._videos(y)

    # State

    def _extend_frames(self, x: Features, frames: int) -> ir.Value:
        """The cached frames before those of `x`; the last of both are cached."""
        name = f"{CACHE}_in_{len(self._caches_in)}"
        size = ["batch", x.channels, frames, *([None, None] if self._bottom else self._sides(x.width))]
        cache = ir.val(name, self._builder.dtype, ir.Shape(size))
        self._caches_in.append(cache)
        extended = self._builder.op("Concat", cache, x.value, axis=_FRAMES)
        self._keep_cache(self._builder.slice(extended, _FRAMES, -frames))
        return extended

    def _cache_first(self, x: Features) -> None:
        """The first frame of a video after one of zeros."""
        if self._keeps_caches:
            frame = self._builder.op("Unsqueeze", x.value, self._builder.integers(_FRAMES))
            size = (self._builder.size(x.value, axis) for axis in (2, 3))
            zeros = self._builder.zeros(self._builder.shape(self._batch(), x.channels, _CACHED_FRAMES - 1, *size))
            self._keep_cache(self._builder.op("Concat", zeros, frame, axis=_FRAMES))

    def _cache_zeros(self, x: Features) -> None:
        """As for a layer that the first frame skips."""
        if self._keeps_caches:
            size = (self._builder.size(x.value, axis) for axis in (2, 3))
            shape = self._builder.shape(self._batch(), x.channels, _CACHED_FRAMES, *size)
            self._keep_cache(self._builder.zeros(shape))

    def _keep_cache(self, cache: ir.Value) -> None:
        if self._keeps_caches:
            self._caches_out.append(cache)

    def _extend_rows(self, x: Features, value: ir.Value, has_past: bool) -> ir.Value:
        """The carried rows above those of `value`, and below them the zeros at the bottom of a frame.

        Args:
            x: what `value` is, but for the cached frames.
        """
        if self._bottom is None:
            return value
        zeros = self._bottom_rows(x, value, has_past)
        above = self._carried(Carried(x, _CACHED_FRAMES if has_past else 0, first_rows=1))
        extended = self._builder.op("Concat", above, value, zeros, axis=x.row_axis)
        self._carry(self._builder.slice(extended, x.row_axis, -_CARRIED_ROWS))
        return extended

    def _delayed(self, x: Features, beside: Features, scale: int = 1) -> Features:
        """The topmost rows of those carried and of `x`: `scale` for each of what runs beside and holds rows back."""
        if self._bottom is None:
            return x
        builder, axis = self._builder, x.row_axis
        rows = builder.op("Concat", self._carried(Carried(x, 0, first_rows=0)), x.value, axis=axis)
        count = builder.size(beside.value, axis)
        if scale != 1:
            count = builder.op("Mul", count, builder.integers(scale))
        self._carry(builder.slice(rows, axis, count))
        return replace(x, value=builder.slice(rows, axis, 0, count))

    def _carried(self, carried: Carried) -> ir.Value:
        """The rows that the band above has left for this layer."""
        x = carried.like
        self.carried.append(carried)
        sizes = [None, x.channels, *([] if x.is_image else [None]), None, None]
        rows = ir.val(f"{ROWS}_in_{len(self._rows_in)}", ir.DataType.FLOAT, ir.Shape(sizes))
        self._rows_in.append(rows)
        return self._builder.to_own(rows)

    def _carry(self, rows: ir.Value) -> None:
        """Hand them to the band below."""
        self._rows_out.append(self._builder.to_float32(rows))

    def _bottom_rows(self, x: Features, value: ir.Value, has_past: bool) -> ir.Value:
        """No row of zeros, or one at the bottom of a frame; equal ones are shared."""
        assert self._bottom is not None
        key = (x.channels, x.frames, x.width, x.is_image, has_past)
        if key not in self._zeros:
            builder, axis = self._builder, x.row_axis
            sizes = (builder.size(value, other) for other in range(axis))
            shape = builder.shape(*sizes, builder.size(self._bottom, 0), builder.size(value, axis + 1))
            self._zeros[key] = builder.zeros(shape)
        return self._zeros[key]

    # Parts of layers

    def _halved(self, convolution: Any, x: Features) -> Features:
        """A convolution of stride 2, padded at the right and at the bottom only."""
        weight, value = _values(convolution.weight), x.value
        if self._bottom is None:
            value = self._convolution(value, weight, convolution.bias, [0, 0], [1, 1], [2, 2])
            return replace(x, value=value, width=x.width / 2)
        builder = self._builder
        zeros = self._bottom_rows(x, value, has_past=False)
        extended = builder.op("Concat", self._carried(Carried(x, 0, first_rows=0)), value, zeros, axis=x.row_axis)
        value = self._convolution(extended, weight, convolution.bias, [0, 0], [0, 1], [2, 2])
        used = builder.op("Mul", builder.size(value, x.row_axis), builder.integers(2))
        self._carry(builder.slice(extended, x.row_axis, used))
        return replace(x, value=value, width=x.width / 2)

    def _image_convolution(self, layer: Any, x: Features, padding: int = 0) -> Features:
        """Of images; padded at the left and the right."""
        rows = padding if self._bottom is None else 0
        sides = [rows, padding]
        value = self._convolution(x.value, _values(layer.weight), layer.bias, sides, sides, [1, 1])
        return replace(x, value=value, channels=layer.out_channels)

    def _convolution(
        self,
        x: ir.Value,
        weight: Tensor,
        bias: Tensor | None,
        before: list[int],
        after: list[int],
        strides: list[int],
        groups: int = 1,
    ) -> ir.Value:
        inputs = [x, self._builder.weights(weight), *([] if bias is None else [self._builder.weights(_values(bias))])]
        return self._builder.op("Conv", *inputs, pads=[*before, *after], strides=strides, group=groups)

    def _to_pixels(self, images: Features, channels: int, factor: int) -> Features:
        """Channels, row and column of a pixel -> pixels."""
        value = self._builder.op("DepthToSpace", images.value, blocksize=factor, mode="CRD")
        return replace(images, value=value, channels=channels, width=images.width * factor)

    def _images(self, x: Features) -> Features:
        """Each frame by itself."""
        if x.is_image:
            return x
        apart = self._builder.transpose(x.value, 0, 2, 1, 3, 4)
        size = self._builder.shape(self._images_of(x), x.channels, -1, self._width(x))
        return replace(x, value=self._builder.op("Reshape", apart, size), is_image=True)

    def _videos(self, x: Features) -> Features:
        """The reverse."""
        size = self._builder.shape(self._batch(), self._frames(x), x.channels, -1, self._width(x))
        value = self._builder.transpose(self._builder.op("Reshape", x.value, size), 0, 2, 1, 3, 4)
        return replace(x, value=value, is_image=False)

    def _batch(self) -> ir.Value:
        return self._size_of_source(0, Fraction(1))

    def _frames(self, x: Features) -> ir.Value:
        return self._size_of_source(_FRAMES, x.frames)

    def _width(self, x: Features) -> ir.Value:
        return self._size_of_source(4, x.width)

    def _images_of(self, x: Features) -> ir.Value:
        """How many images the videos have together."""
        return self._builder.op("Mul", self._batch(), self._frames(x))

    def _size_of_source(self, axis: int, factor: Fraction) -> ir.Value:
        if (axis, factor) not in self._sizes:
            builder = self._builder
            size = builder.size(self._source, axis)
            if factor.numerator != 1:
                size = builder.op("Mul", size, builder.integers(factor.numerator))
            if factor.denominator != 1:
                size = builder.op("Div", size, builder.integers(factor.denominator))
            self._sizes[axis, factor] = size
        return self._sizes[axis, factor]

    def _sides(self, width: Fraction | int) -> list[str]:
        """Height and width of what has `width` columns per column of the source, in latents."""
        return [_times(int(width * self._side), f"latent_{side}") for side in ("height", "width")]


class _ImageNorm:
    """A norm of images, whose weights diffusers keeps in another shape."""

    def __init__(self, norm: Any) -> None:
        self.gamma, self.scale = norm.gamma, norm.scale


def _values(parameter: Tensor) -> Tensor:
    """What it holds now, in the same memory, as a mapped module's parameters hold their values for a while only."""
    return parameter.detach()


def _times(factor: int, name: str) -> str:
    return name if factor == 1 else f"{factor}*{name}"
