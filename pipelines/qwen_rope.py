"""Qwen-Image's rotary position embedding as tables: the exported transformer takes them as inputs."""

import torch
from diffusers.models.transformers.transformer_qwenimage import QwenEmbedRope

from pipelines.model_card import RotaryEmbedding
from pipelines.runner import Array, Shared

_MOST_KEPT = 16
"""tables for so many sizes are kept; those of a 1024x1024 picture take 2 MB"""


class RopeTables:
    """Cosines and sines for pictures of any size, in the order of the packed latents.

    Positions count from the middle of the picture, and those of the text go on where the picture ends.
    """

    def __init__(self, rope: RotaryEmbedding) -> None:
        self._embed = QwenEmbedRope(theta=rope.theta, axes_dim=list(rope.axes_dims), scale_rope=True)
        self._kept: dict[tuple[int, int, int], Shared] = {}

    def of(self, height: int, width: int, text_tokens: int) -> Shared:
        """The tables of one call.

        Args:
            height, width: of the picture, in packed latents (16 pixels each).
            text_tokens: padding included.

        Returns:
            float32 `image_cos`, `image_sin` [height * width, head_dim / 2]; `text_cos`, `text_sin` [text_tokens,
            head_dim / 2].
        """
        key = (height, width, text_tokens)
        if key not in self._kept:
            if len(self._kept) >= _MOST_KEPT:
                del self._kept[next(iter(self._kept))]
            image, text = self._embed([[(1, height, width)]], device=torch.device("cpu"), max_txt_seq_len=text_tokens)
            self._kept[key] = Shared(key, _tables(image=image, text=text))
        return self._kept[key]


def _tables(**rotations: torch.Tensor) -> dict[str, Array]:
    """Complex numbers of length 1 -> their cosines and sines."""
    return {
        f"{name}_{part}": values.contiguous().numpy()
        for name, rotation in rotations.items()
        for part, values in (("cos", rotation.real), ("sin", rotation.imag))
    }
