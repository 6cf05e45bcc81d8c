"""What a Wan transformer sees of a step beside the prompt, by the kind of model.

TextOnly     T2V-A14B   the latents
MaskedImage  I2V-A14B   the latents, a mask and the encoded image, channel by channel
FirstFrame   TI2V-5B    the latents, whose frame 0 is the encoded image where there is one; a timestep per token
"""

import asyncio
from dataclasses import dataclass
from typing import Protocol

import torch

from pipelines.condition_cache import ConditionCache, fingerprint
from pipelines.runner import ModelRunner
from pipelines.vae_encoder import encode_first_frame
from protocol.model_card import ModelCard
from protocol.sampling import WanSpec


@dataclass(frozen=True)
class ModelInput:
    """What the transformer sees of one step."""

    hidden_states: torch.Tensor
    """[1, channels, frames, height, width]"""
    timestep: torch.Tensor
    """float32 [1], or [1, tokens] where each token has its own"""


class Conditioning(Protocol):
    """How the image that a video starts from steers sampling."""

    async def encode_image(self, params: WanSpec) -> torch.Tensor | None:
        """The image as `model_input` and `finish` take it; None for a text alone."""

    def model_input(self, latents: torch.Tensor, timestep: torch.Tensor, image: torch.Tensor | None) -> ModelInput:
        """What the transformer sees of `latents` at a timestep.

        Args:
            latents: [1, channels, frames, height, width].
            timestep: float32 [], 0..num_train_timesteps, on the CPU.
        """

    def finish(self, latents: torch.Tensor, image: torch.Tensor | None) -> torch.Tensor:
        """The latents to decode, of those that the last step gives."""


class ImageEncoder:
    """Encodes the images that videos start from, each once for all jobs that want it.

    Args:
        card: of the checkpoint.
        runner: runs its VAE's encoder.
        cache: what was encoded before.
        device: where sampling is done.
    """

    def __init__(self, card: ModelCard, runner: ModelRunner, cache: ConditionCache, device: torch.device) -> None:
        self.space = card.latents
        self._model = card.components.vae_encoder
        self._runner = runner
        self._cache = cache
        self._device = device

    async def encode(self, params: WanSpec, num_frames: int) -> torch.Tensor:
        """A video of the request's image, followed by grey frames: [1, channels, latent frames, height, width]."""
        image, model, space = params.image, self._model, self.space
        assert image is not None
        assert model is not None
        digest = await asyncio.to_thread(fingerprint, {"image": torch.tensor(image)})
        encoded = await self._cache.get(
            model,
            (digest, num_frames, space),
            lambda: encode_first_frame(image, num_frames, space, self._runner, model, self._device),
        )
        return encoded.to(self._device)


class TextOnly:
    """No image: the transformer sees the latents."""

    def __init__(self, encoder: ImageEncoder) -> None:
        pass

    async def encode_image(self, params: WanSpec) -> torch.Tensor | None:
        return None

    def model_input(self, latents: torch.Tensor, timestep: torch.Tensor, image: torch.Tensor | None) -> ModelInput:
        return ModelInput(latents, timestep.to(latents.device).expand(1))

    def finish(self, latents: torch.Tensor, image: torch.Tensor | None) -> torch.Tensor:
        return latents


class MaskedImage:
    """The transformer sees a mask and the encoded image beside the latents."""

    def __init__(self, encoder: ImageEncoder) -> None:
        self._encoder = encoder

    async def encode_image(self, params: WanSpec) -> torch.Tensor | None:
        """Encode the image, followed by grey frames, and say which latent frame it is.

        Returns:
            [1, temporal_stride + channels, frames, height, width]: a mask of ones on latent frame 0, then the encoded
            video.
        """
        latents = await self._encoder.encode(params, params.num_frames)
        mask = latents.new_zeros(1, self._encoder.space.temporal_stride, *latents.shape[2:])
        mask[:, :, 0] = 1
        return torch.cat([mask, latents], dim=1)

    def model_input(self, latents: torch.Tensor, timestep: torch.Tensor, image: torch.Tensor | None) -> ModelInput:
        assert image is not None
        return ModelInput(torch.cat([latents, image], dim=1), timestep.to(latents.device).expand(1))

    def finish(self, latents: torch.Tensor, image: torch.Tensor | None) -> torch.Tensor:
        return latents


class FirstFrame:
    """An image takes the place of latent frame 0, whose tokens have timestep 0; a text alone leaves it out.

    Every token has its own timestep, with or without an image.
    """

    def __init__(self, encoder: ImageEncoder) -> None:
        self._encoder = encoder

    async def encode_image(self, params: WanSpec) -> torch.Tensor | None:
        """Encode the image: [1, channels, 1, height, width]; None for a text alone."""
        return None if params.image is None else await self._encoder.encode(params, 1)

    def model_input(self, latents: torch.Tensor, timestep: torch.Tensor, image: torch.Tensor | None) -> ModelInput:
        frames, height, width = latents.shape[2:]
        timesteps = timestep.to(latents.device).expand(1, frames, height // 2, width // 2).clone()
        if image is not None:
            timesteps[:, 0] = 0
        return ModelInput(self.finish(latents, image), timesteps.flatten(1))

    def finish(self, latents: torch.Tensor, image: torch.Tensor | None) -> torch.Tensor:
        """Put the image back: the transformer's prediction for latent frame 0 is of no use."""
        return latents if image is None else torch.cat([image, latents[:, :, 1:]], dim=2)
