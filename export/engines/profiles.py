"""Which sizes an engine is built for: one wide profile, and a narrow one per served size, which is faster.

A graph's inputs name their sizes: `batch`, `8*latent_height`, `blocks.0.attn1.to_q.rank`. A table of what each name may
be gives the shape of every input.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

import onnx

from export.engines.errors import EngineError
from protocol.model_card import ModelCard
from runtime.engine_plan import RANK

_ADAPTER_SIZE = ".rank"
"""what the names of adapters' sizes end with"""


@dataclass(frozen=True)
class Range:
    """Of a size: at least, what the engine is made fastest for, at most."""

    least: int
    best: int
    most: int

    @classmethod
    def only(cls, size: int) -> "Range":
        return cls(size, size, size)


Sizes = Mapping[str, Range]
Shapes = Mapping[str, tuple[Sequence[int], Sequence[int], Sequence[int]]]
"""input -> its shapes of the three kinds"""


@dataclass(frozen=True)
class Profile:
    """For a range of sizes."""

    name: str
    sizes: Sizes
    adapter_rank: Range
    """of low-rank adapters; 0 where there is none"""

    @property
    def ranges(self) -> Sizes:
        """Of all sizes."""
        return {**self.sizes, RANK: self.adapter_rank}

    def shapes(self, graph: onnx.GraphProto) -> Shapes:
        """Of every input that has a size which varies.

        Raises:
            EngineError: it has one that this profile does not know.
        """
        found = {}
        for value in graph.input:
            dims = value.type.tensor_type.shape.dim
            if any(dim.dim_param or not dim.HasField("dim_value") for dim in dims):
                ranges = [self._range(value.name, dim) for dim in dims]
                found[value.name] = (
                    [one.least for one in ranges],
                    [one.best for one in ranges],
                    [one.most for one in ranges],
                )
        return found

    def _range(self, name: str, dim: "onnx.TensorShapeProto.Dimension") -> Range:
        """Of a number, of a name, or of a multiple of one."""
        if dim.HasField("dim_value"):
            return Range.only(dim.dim_value)
        if dim.dim_param.endswith(_ADAPTER_SIZE):
            return self.adapter_rank
        *factors, symbol = dim.dim_param.split("*")
        if symbol not in self.sizes or not all(factor.isdecimal() for factor in factors):
            raise EngineError(f"the input {name} has a size {dim.dim_param!r} that no profile knows")
        size, factor = self.sizes[symbol], prod(map(int, factors))
        return Range(factor * size.least, factor * size.best, factor * size.most)


@dataclass(frozen=True)
class VideoSize:
    """Of a video or image, in pixels and frames."""

    width: int
    height: int
    num_frames: int = 1

    def __str__(self) -> str:
        return f"{self.width}x{self.height}" + (f"x{self.num_frames}" if self.num_frames > 1 else "")


def default_size(card: ModelCard) -> VideoSize:
    return VideoSize(card.defaults.width, card.defaults.height, card.defaults.num_frames)


def profiles(
    card: ModelCard, component: str, sizes: Sequence[VideoSize], batch: int, adapter_rank: int, takes_adapters: bool
) -> list[Profile]:
    """Those of one component's graphs.

    Args:
        component: as the card's `Components` call it.
        sizes: that are served.
        batch: rows of a transformer's call at most.
        adapter_rank: of all adapters of a request together, at most; 0 builds for none.
    """
    if component == "text_encoder":
        return [Profile("prompts", _text(card), Range.only(0))]
    ranges = {str(size): _sizes(card, component, size, batch) for size in dict.fromkeys(sizes)}
    smallest = VideoSize(card.limits.size_multiple, card.limits.size_multiple)
    wide = _union([*ranges.values(), _sizes(card, component, smallest, 1)], best=ranges[str(sizes[0])])
    by_name = {"wide": _crossed(wide)} | ranges
    plain = [Profile(name, sizes, Range.only(0)) for name, sizes in by_name.items()]
    if not takes_adapters or not adapter_rank:
        return plain
    ranks = Range(1, min(32, adapter_rank), adapter_rank)
    return [*plain, *(Profile(f"{profile.name}, adapters", profile.sizes, ranks) for profile in plain)]


def merged(some: Sequence[Profile], others: Sequence[Profile]) -> list[Profile]:
    """For a graph that two checkpoints share: profiles of one name take what is in either."""
    by_name = {profile.name: profile for profile in some}
    for other in others:
        one = by_name.get(other.name, other)
        ranges = dict(_union([one.ranges, other.ranges], best=one.ranges))
        ranks = ranges.pop(RANK)
        by_name[other.name] = Profile(other.name, ranges, ranks)
    return list(by_name.values())


def _text(card: ModelCard) -> Sizes:
    """Of a text encoder, which encodes one prompt at a time."""
    tokens = card.max_sequence_length
    return {"batch": Range.only(1), "tokens": Range(1, min(64, tokens), tokens + _TEMPLATE_TOKENS)}


_TEMPLATE_TOKENS = 64
"""more than those of the template that Qwen-Image's prompts stand in"""


def _sizes(card: ModelCard, component: str, size: VideoSize, batch: int) -> Sizes:
    """Exactly that size, and a batch of up to so many."""
    space = card.latents
    frames = (size.num_frames - 1) // space.temporal_stride + 1
    height, width = size.height // space.spatial_stride, size.width // space.spatial_stride
    if not component.startswith("transformer"):
        # videos come one latent frame at a time
        return {
            "batch": Range.only(1),
            "latent_frames": Range.only(1),
            "latent_height": Range.only(height),
            "latent_width": Range.only(width),
        }
    patch = card.limits.size_multiple // space.spatial_stride
    patches = frames * (height // patch) * (width // patch)
    rows = Range(1, min(2, batch), batch)  # two: with and without guidance
    text = card.max_sequence_length
    if card.rope is not None:
        return {"batch": rows, "image_tokens": Range.only(patches), "text_tokens": Range(1, min(64, text), text)}
    return {
        "batch": rows,
        "frames": Range.only(frames),
        "height": Range.only(height),
        "width": Range.only(width),
        "patches": Range.only(patches),
        "tokens": Range.only(text),
    }


def _union(parts: Sequence[Sizes], best: Sizes) -> Sizes:
    return {
        name: Range(min(part[name].least for part in parts), size.best, max(part[name].most for part in parts))
        for name, size in best.items()
    }


def _crossed(sizes: Sizes) -> Sizes:
    """A video may be as high as another is wide."""
    crossed = dict(sizes)
    for sides in (("height", "width"), ("latent_height", "latent_width")):
        ranges = [sizes[side] for side in sides if side in sizes]
        for side in sides if ranges else ():
            least, most = min(one.least for one in ranges), max(one.most for one in ranges)
            crossed[side] = Range(least, sizes[side].best, most)
    if "patches" in sizes:
        best, latents = sizes["patches"].best, [crossed[name] for name in ("frames", "height", "width")]
        most = best * prod(one.most for one in latents) // prod(one.best for one in latents)
        crossed["patches"] = Range(sizes["patches"].least, best, most)
    return crossed
