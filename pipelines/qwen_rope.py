"""Qwen-Image's rotary position embedding as tables: the exported transformer takes them as inputs."""

import torch

from pipelines.runner import Shared, Tensors
from protocol.model_card import RotaryEmbedding

_MOST_KEPT = 16
"""number of sizes whose tables are kept; those of a 1024x1024 image take 2 MB"""


class RopeTables:
    """Cosines and sines for images of any size, in the order of the packed latents (diffusers' `QwenEmbedRope`).

    Positions count from the middle of the image, and those of the text go on where the image ends.

    Args:
        device: where the tables are kept; they are computed on the CPU.
    """

    def __init__(self, rope: RotaryEmbedding, device: torch.device = torch.device("cpu")) -> None:  # noqa: B008
        self._device = device
        # Each axis turns its own share of a head's dimensions, two at a time.
        self._frequencies = [_frequencies(rope.theta, dims) for dims in rope.axes_dims]
        self._kept: dict[tuple[int, int, int], Shared] = {}

    def of(self, height: int, width: int, text_tokens: int) -> Shared:
        """The tables of one call.

        Args:
            height, width: of the image, in packed latents (16 pixels each).
            text_tokens: padding included.

        Returns:
            float32 `image_cos`, `image_sin` [height * width, head_dim / 2]; `text_cos`, `text_sin` [text_tokens,
            head_dim / 2].
        """
        key = (height, width, text_tokens)
        if key not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            rows, columns = _centred(height), _centred(width)
            image = self._angles(torch.zeros(1), rows.repeat_interleave(width), columns.repeat(height))
            after = max(height // 2, width // 2)
            text = self._angles(*[torch.arange(after, after + text_tokens)] * len(self._frequencies))
            tables = _tables(image=image, text=text)
            self._kept[key] = Shared(key, {name: table.to(self._device) for name, table in tables.items()})
        return self._kept[key]

    def _angles(self, *positions: torch.Tensor) -> torch.Tensor:
        """float32 [tokens, head_dim / 2], from each token's position on every axis; one position is for all tokens."""
        tokens = max(len(axis) for axis in positions)
        angles = [torch.outer(axis, turn) for axis, turn in zip(positions, self._frequencies, strict=True)]
        return torch.cat([axis.expand(tokens, -1) for axis in angles], dim=1)


def _frequencies(theta: float, dims: int) -> torch.Tensor:
    """float32 [dims / 2]: radians per position."""
    return 1.0 / torch.pow(theta, torch.arange(0, dims, 2).to(torch.float32).div(dims))


def _centred(length: int) -> torch.Tensor:
    return torch.arange(length) - (length - length // 2)


def _tables(**angles: torch.Tensor) -> Tensors:
    """Angles -> their cosines and sines."""
    return {
        f"{name}_{part}": values.contiguous()
        for name, angle in angles.items()
        for rotation in [torch.polar(torch.ones_like(angle), angle)]
        for part, values in (("cos", rotation.real), ("sin", rotation.imag))
    }
