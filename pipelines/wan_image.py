"""Wan2.2 with an image: I2V-A14B and TI2V-5B, equal to diffusers' `WanImageToVideoPipeline`."""

import asyncio

import torch

from pipelines.condition_cache import fingerprint
from pipelines.runner import Array
from pipelines.vae_encoder import encode_first_frame
from pipelines.wan import ModelInput, WanTextToVideo
from protocol.sampling import WanSpec


class WanImageToVideo(WanTextToVideo):
    """I2V-A14B: the transformer sees a mask and the encoded image beside the latents."""

    async def encode_image(self, params: WanSpec) -> torch.Tensor | None:
        """Encode the image, followed by grey frames, and say which latent frame it is.

        Returns:
            float32 [1, temporal_stride + channels, frames, height, width]: a mask of ones on latent frame 0, then
            the encoded clip.
        """
        latents = await self._encode(params, params.num_frames)
        stride = self.card.latents.temporal_stride
        mask = torch.zeros(1, stride, *latents.shape[2:])
        mask[:, :, 0] = 1
        return torch.cat([mask, latents], dim=1)

    def _model_input(self, latents: torch.Tensor, timestep: torch.Tensor, image: torch.Tensor | None) -> ModelInput:
        assert image is not None
        return ModelInput(torch.cat([latents, image], dim=1), timestep.expand(1))

    async def _encode(self, params: WanSpec, num_frames: int) -> torch.Tensor:
        """The encoded clip, computed once for all jobs that start from this image."""
        image, space, encoder = params.image, self.card.latents, self.card.components.vae_encoder
        assert image is not None
        assert encoder is not None

        async def compute() -> Array:
            latents: Array = (await encode_first_frame(image, num_frames, space, self._runner, encoder)).numpy()
            return latents

        digest = await asyncio.to_thread(fingerprint, {"image": image})
        return torch.tensor(await self._cache.get(encoder, (digest, num_frames, space), compute))


class WanTextImageToVideo(WanImageToVideo):
    """TI2V-5B: an image takes the place of latent frame 0, whose tokens have timestep 0; a text alone leaves it out.

    Every token has its own timestep, with or without an image.
    """

    async def encode_image(self, params: WanSpec) -> torch.Tensor | None:
        """Encode the image: float32 [1, channels, 1, height, width]; None for a text alone."""
        return None if params.image is None else await self._encode(params, 1)

    def _model_input(self, latents: torch.Tensor, timestep: torch.Tensor, image: torch.Tensor | None) -> ModelInput:
        frames, height, width = latents.shape[2:]
        timesteps = timestep.expand(1, frames, height // 2, width // 2).clone()
        if image is not None:
            timesteps[:, 0] = 0
        return ModelInput(self._finish(latents, image), timesteps.flatten(1))

    def _finish(self, latents: torch.Tensor, image: torch.Tensor | None) -> torch.Tensor:
        """Put the image back: the transformer's prediction for latent frame 0 is of no use."""
        return latents if image is None else torch.cat([image, latents[:, :, 1:]], dim=2)
