"""Wan2.2 with an image: I2V-A14B and TI2V-5B, equal to diffusers' `WanImageToVideoPipeline`."""

from collections.abc import Callable

import torch

from pipelines.request import SamplingParams
from pipelines.vae_encoder import encode_first_frame
from pipelines.wan import ModelInput, WanTextToVideo


class WanImageToVideo(WanTextToVideo):
    """I2V-A14B: the transformer sees a mask and the encoded image beside the latents."""

    async def encode_image(self, params: SamplingParams, after_chunk: Callable[[], None]) -> torch.Tensor | None:
        """Encode the image, followed by grey frames, and say which latent frame it is.

        Returns:
            float32 [1, temporal_stride + channels, frames, height, width]: a mask of ones on latent frame 0, then
            the encoded clip.
        """
        latents = await self._encode(params, params.num_frames, after_chunk)
        stride = self.card.latents.temporal_stride
        mask = torch.zeros(1, stride, *latents.shape[2:])
        mask[:, :, 0] = 1
        return torch.cat([mask, latents], dim=1)

    def _model_input(self, latents: torch.Tensor, timestep: torch.Tensor, image: torch.Tensor | None) -> ModelInput:
        assert image is not None
        return ModelInput(torch.cat([latents, image], dim=1), timestep.expand(1))

    async def _encode(self, params: SamplingParams, num_frames: int, after_chunk: Callable[[], None]) -> torch.Tensor:
        encoder = self.card.components.vae_encoder
        assert params.image is not None
        assert encoder is not None
        return await encode_first_frame(params.image, num_frames, self.card.latents, self._runner, encoder, after_chunk)


class WanTextImageToVideo(WanImageToVideo):
    """TI2V-5B: an image takes the place of latent frame 0, whose tokens have timestep 0; a text alone leaves it out.

    Every token has its own timestep, with or without an image.
    """

    async def encode_image(self, params: SamplingParams, after_chunk: Callable[[], None]) -> torch.Tensor | None:
        """Encode the image: float32 [1, channels, 1, height, width]; None for a text alone."""
        return None if params.image is None else await self._encode(params, 1, after_chunk)

    def _model_input(self, latents: torch.Tensor, timestep: torch.Tensor, image: torch.Tensor | None) -> ModelInput:
        frames, height, width = latents.shape[2:]
        timesteps = timestep.expand(1, frames, height // 2, width // 2).clone()
        if image is not None:
            timesteps[:, 0] = 0
        return ModelInput(self._finish(latents, image), timesteps.flatten(1))

    def _finish(self, latents: torch.Tensor, image: torch.Tensor | None) -> torch.Tensor:
        """Put the image back: the transformer's prediction for latent frame 0 is of no use."""
        return latents if image is None else torch.cat([image, latents[:, :, 1:]], dim=2)
