"""The shape of what is sampled."""

from protocol.model_card import ModelCard
from protocol.sampling import Spec


def latents_shape(params: Spec, card: ModelCard) -> tuple[int, int, int, int, int]:
    """[1, channels, frames, height, width]"""
    space = card.latents
    return (
        1,
        space.channels,
        (params.num_frames - 1) // space.temporal_stride + 1,
        params.height // space.spatial_stride,
        params.width // space.spatial_stride,
    )
