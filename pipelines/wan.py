"""Wan2.2 text-to-video, equal to diffusers' `WanPipeline`."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from pathlib import Path

import torch
from transformers import AutoTokenizer

from pipelines.denoise import Evaluate, Expert, TextConditions, denoise
from pipelines.frames import Float32
from pipelines.model_card import ModelCard
from pipelines.request import SamplingParams
from pipelines.runner import ModelRunner
from pipelines.schedulers import make_scheduler, read_config
from pipelines.text_encoder import encode_prompt
from pipelines.vae_decoder import decode


class WanTextToVideo:
    """The sampling code of one checkpoint; holds no state of any job.

    Args:
        folder: what `export` wrote for the checkpoint: `card.json`, `tokenizer/`, `scheduler/`.
        runner: runs the checkpoint's models.
        evaluate: runs its transformers, on rows that it may batch with those of other jobs.
    """

    def __init__(self, folder: Path, runner: ModelRunner, evaluate: Evaluate) -> None:
        self.card = ModelCard.read(folder)
        self._tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
        self._scheduler_config = read_config(folder / "scheduler")
        self._runner = runner
        self._evaluate = evaluate

    async def encode_text(self, params: SamplingParams) -> TextConditions:
        """Encode the prompt and, where sampling is guided, the negative prompt."""
        prompt = await self._encode(params.prompt)
        guided = params.guidance_scale > 1  # diffusers lets the first guidance alone decide
        return TextConditions(prompt, await self._encode(params.negative_prompt) if guided else None)

    async def sample(
        self, params: SamplingParams, text: TextConditions, after_step: Callable[[int], Awaitable[None]]
    ) -> torch.Tensor:
        """Draw noise from the seed and denoise it.

        Returns:
            float32 latents [1, channels, frames, height, width].
        """
        scheduler = make_scheduler(self._scheduler_config, params.solver, params.flow_shift, params.num_inference_steps)
        latents = draw_noise(params, self.card)
        return await denoise(latents, text, scheduler, lambda t: self._expert_at(t, params), self._evaluate, after_step)

    def decode(self, latents: torch.Tensor) -> AsyncGenerator[Float32]:
        """Pixel frames of the latents, float32 [n, height, width, 3] in 0..1, as they are decoded."""
        return decode(latents, self.card.latents, self._runner, self.card.components.vae)

    async def _encode(self, prompt: str) -> Float32:
        card = self.card
        return await encode_prompt(
            prompt, self._tokenizer, self._runner, card.components.text_encoder, card.max_sequence_length
        )

    def _expert_at(self, timestep: float, params: SamplingParams) -> Expert:
        """High noise runs `transformer`; below the boundary `transformer_2` takes over."""
        high, low = self.card.components.transformer, self.card.components.transformer_2
        if low is None or params.boundary_ratio is None or params.guidance_scale_2 is None:
            return Expert(high, params.guidance_scale)
        if timestep >= params.boundary_ratio * self.card.num_train_timesteps:
            return Expert(high, params.guidance_scale)
        return Expert(low, params.guidance_scale_2)


def draw_noise(params: SamplingParams, card: ModelCard) -> torch.Tensor:
    """The latents that diffusers' `prepare_latents` draws from a CPU generator with this seed."""
    space = card.latents
    shape = (
        1,
        space.channels,
        (params.num_frames - 1) // space.temporal_stride + 1,
        params.height // space.spatial_stride,
        params.width // space.spatial_stride,
    )
    return torch.randn(shape, generator=torch.Generator().manual_seed(params.seed))
