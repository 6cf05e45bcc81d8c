"""A causal video VAE that computes a clip chunk by chunk, its state passed in and out as tensors.

diffusers computes latent frame by latent frame too, and keeps the last frames of every causal convolution's input
in a cache that grows from none to two frames. Here a cache always has its full length; the frames that do not
exist yet are zeros, which is what diffusers pads with. So one graph serves every chunk after the first, and a
chunk may have any number of frames.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, cat, nn, no_grad, zeros_like
from torch.export import Dim
from torch.nn import functional

from export.graph import Graph, Session

CACHED_FRAMES = 2
"""what a convolution over three frames looks back on"""

_FIRST = "first.onnx"
_NEXT = "next.onnx"


class CarriedCaches:
    """The caches of one call, in the order in which the layers run; none come in with the first chunk of a clip."""

    def __init__(self, caches: Iterable[Tensor]) -> None:
        self._before = list(caches)
        self.first = not self._before
        self.after: list[Tensor] = []

    def extend(self, x: Tensor, frames: int = CACHED_FRAMES) -> Tensor:
        """Put so many cached frames before those of `x`, and cache the last of both."""
        before = self._zeros(x, frames) if self.first else self._before[len(self.after)]
        extended = cat([before, x], dim=2)
        self.keep(extended[:, :, -frames:])
        return extended

    def keep(self, x: Tensor) -> None:
        """Cache `x` itself, for a layer that the first chunk skips."""
        self.after.append(x)

    def keep_zeros(self, x: Tensor) -> None:
        """Cache zeros of the size of `x`, for a layer that the first chunk skips."""
        self.keep(self._zeros(x, CACHED_FRAMES))

    @staticmethod
    def _zeros(x: Tensor, frames: int) -> Tensor:
        return zeros_like(x[:, :, :1]).expand(-1, -1, frames, -1, -1)


def causal_convolutions(
    network: nn.Module, carried: CarriedCaches
) -> Iterator[tuple[nn.Module, Callable[[Tensor], Tensor]]]:
    """Every convolution over three frames, and what computes it from the carried state."""
    for layer in network.modules():
        # diffusers' causal convolutions keep their padding, (width, width, height, height, frames, 0), apart
        padding = getattr(layer, "_padding", None)
        if isinstance(layer, nn.Conv3d) and padding is not None and padding[4] == CACHED_FRAMES:
            yield layer, partial(_convolve, layer, carried)


def _convolve(convolution: Any, carried: CarriedCaches, x: Tensor) -> Tensor:
    spatial = convolution._padding[:4]
    return nn.Conv3d.forward(convolution, functional.pad(carried.extend(x), (*spatial, 0, 0)))


def streaming_graphs(module: nn.Module, first: Tensor, later: Tensor, source: str, result: str) -> list[Graph]:
    """The graph of a clip's first chunk, `first.onnx`, and that of every later one, `next.onnx`.

    Args:
        module: takes a chunk, and the caches unless it is the first; returns a result and the caches.
        first: example of a first chunk, [batch, channels, frames, height, width].
        later: example of a later one.
        source: the parameter and the input that is the chunk.
        result: the output beside the caches.
    """
    with no_grad():
        _, *caches = module(first)
    sizes = {0: "batch", 3: "height", 4: "width"}
    cache_sizes = {0: "batch", 3: Dim.AUTO, 4: Dim.AUTO}
    count = range(len(caches))
    return [
        Graph(
            file=_FIRST,
            module=module,
            example=(first,),
            dynamic_shapes={source: sizes},
            inputs=[source],
            outputs=[result, *(f"cache_{i}" for i in count)],
        ),
        Graph(
            file=_NEXT,
            module=module,
            example=(later, *caches),
            dynamic_shapes={source: {**sizes, 2: "frames"}, "caches": (cache_sizes,) * len(caches)},
            inputs=[source, *(f"cache_in_{i}" for i in count)],
            outputs=[result, *(f"cache_out_{i}" for i in count)],
        ),
    ]


def stream(sessions: Mapping[str, Session], clip: NDArray[Any], chunk: int) -> NDArray[Any]:
    """Run the two graphs over a clip: its first frame, then so many frames at a time."""
    result, *caches = sessions[_FIRST].run(clip[:, :, :1])
    results = [result]
    for start in range(1, clip.shape[2], chunk):
        result, *caches = sessions[_NEXT].run(clip[:, :, start : start + chunk], *caches)
        results.append(result)
    return np.concatenate(results, axis=2)
